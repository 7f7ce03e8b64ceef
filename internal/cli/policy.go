package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
)

func newPolicy() *cobra.Command {
	return group("policy", "Test policies, try one on a request, and see what another would change",
		examples("crenel policy test policies/", "crenel policy try --request request.json", "crenel policy matrix --check", "crenel policy replay --policies policies-next/"),
		newPolicyTest(), newPolicyTry(), newPolicyMatrix(), newPolicyMutate(), newPolicyLint(),
		newPolicyReplay(), newPolicyShadow(), newPolicyUnused(), newPolicyExplain(), newPolicyLog())
}

// policyAPI reads the API that a command about policies is for. Secrets are read
// only where something has to be fetched with them: in CI, and for who writes
// policies, a gateway's secrets are not at hand.
func policyAPI(file, name string, fetches func(*config.API) bool) (*config.API, error) {
	cfg, err := config.LoadWith(file, config.Options{WithoutSecrets: true})
	if err != nil {
		return nil, err
	}
	ac, err := chooseAPI(cfg, name)
	if err != nil || !fetches(ac) {
		return ac, err
	}
	if cfg, err = config.Load(file); err != nil {
		return nil, err
	}
	return chooseAPI(cfg, name)
}

func chooseAPI(cfg *config.Config, name string) (*config.API, error) {
	var names []string
	for i := range cfg.APIs {
		if cfg.APIs[i].Name == name || name == "" && len(cfg.APIs) == 1 {
			return &cfg.APIs[i], nil
		}
		names = append(names, cfg.APIs[i].Name)
	}
	return nil, usagef("choose one of the config's APIs with --api: %s", strings.Join(names, ", "))
}
