package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/spec"
)

// initOptions is how crenel init was called.
type initOptions struct {
	spec, upstream, name, out string
	issuer, secret, keys      string
	audience                  []string
	force                     bool
}

func newInit() *cobra.Command {
	o := &initOptions{}
	c := &cobra.Command{
		Use:   "init --spec FILE|URL --upstream URL",
		Short: "Write a commented crenel.yaml for an API, with safe defaults",
		Long: `Write a commented crenel.yaml for an API, with safe defaults: requests that the
document does not describe are refused, answers are recorded, HTTPS on :8443 with
a local certificate authority. From the document's security schemes it proposes
how callers prove who they are; where that cannot be known, their credentials
must be there and are passed on to the API, which goes on to check them.`,
		Args: none,
		Example: examples(
			"crenel init --spec openapi.yaml --upstream http://127.0.0.1:9000",
			"crenel init --spec https://api.example.com/openapi.json --upstream https://10.0.0.5 --issuer https://id.example.com --audience shop",
			"crenel init --spec openapi.yaml --upstream http://127.0.0.1:9000 --jwt-secret '${JWT_SECRET}'",
		),
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.StringVar(&o.spec, "spec", "", "the OpenAPI `document`, a file or a URL")
	f.StringVar(&o.upstream, "upstream", "", "the `URL` of the API's own server")
	f.StringVar(&o.name, "name", "", "the API's `name`; default: from the document's title")
	f.StringVar(&o.out, "out", defaultConfig, "the `file` to write")
	f.StringVar(&o.issuer, "issuer", "", "the `URL` of the tokens' issuer: they are verified with its keys")
	f.StringSliceVar(&o.audience, "audience", nil, "the `audience` that tokens must be for")
	f.StringVar(&o.secret, "jwt-secret", "", "the `place` of the secret that tokens are signed with: ${NAME} or file:PATH")
	f.StringVar(&o.keys, "jwks", "", "the `file` or URL of the keys that tokens are signed with")
	f.BoolVar(&o.force, "force", false, "replace the file if it is there")
	_ = c.MarkFlagFilename("spec", "yaml", "yml", "json")
	c.MarkFlagsMutuallyExclusive("jwt-secret", "jwks")
	return c
}

func (o *initOptions) run(c *cobra.Command) error {
	switch {
	case o.spec == "" || o.upstream == "":
		return usagef("--spec and --upstream must be given: what is the API, and where is it?")
	case o.name != "" && !nameForm.MatchString(o.name):
		return usagef("--name %q: use lower-case letters, digits, - and _", o.name)
	case o.secret != "" && !strings.HasPrefix(o.secret, "${") && !strings.HasPrefix(o.secret, "file:"):
		return usagef("--jwt-secret takes the secret's place, ${NAME} or file:PATH, never the secret itself")
	}
	if _, err := os.Lstat(o.out); err == nil && !o.force {
		return fmt.Errorf("%s is there already: --force replaces it, --out writes another", o.out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing %s: %w", o.out, err)
	}
	doc, err := spec.Load(c.Context(), o.spec, spec.LoadOptions{})
	if err != nil {
		return err
	}
	if len(doc.Operations) == 0 {
		return fmt.Errorf("%s describes no operation: every call would be refused", o.spec)
	}
	plan, err := o.plan(doc)
	if err != nil {
		return err
	}
	text := plan.yaml()
	if err := verify(c.Context(), text, o.out); err != nil {
		return err
	}
	if err := writeNew(o.out, []byte(text), o.force); err != nil {
		return err
	}
	plan.report(newPrinter(c.OutOrStdout()), doc, o.out)
	return nil
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	notName  = regexp.MustCompile(`[^a-z0-9]+`)
)

// nameOf makes a name of a document's title.
func nameOf(title string) string {
	name := strings.Trim(notName.ReplaceAllString(strings.ToLower(title), "-"), "-")
	if len(name) > 40 {
		name = strings.TrimRight(name[:40], "-")
	}
	if name == "" {
		return "api"
	}
	return name
}

// specPath is the document's place as the config has it: relative to the config's folder.
func specPath(source, out string) (string, error) {
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		return source, nil
	}
	from, err := filepath.Abs(filepath.Dir(out))
	if err != nil {
		return "", fmt.Errorf("finding the folder of %s: %w", out, err)
	}
	to, err := filepath.Abs(source)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", source, err)
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return to, nil //nolint:nilerr // another volume: the absolute path is the only one
	}
	return rel, nil
}

// verify holds what is about to be written to the same check as config check: a
// wrong --upstream is found here, before anything is written. Variables that are
// not set yet stand in for themselves.
func verify(ctx context.Context, text, out string) error {
	env := func(name string) (string, bool) {
		if value, ok := os.LookupEnv(name); ok {
			return value, true
		}
		return strings.Repeat("x", 64), true
	}
	cfg, err := config.Parse([]byte(text), out, config.Options{Env: env})
	if err != nil {
		return fmt.Errorf("with these flags the config would be wrong:\n%w", err)
	}
	if wrong, _ := checkDeep(ctx, cfg); len(wrong) > 0 {
		return fmt.Errorf("with these flags the config would be wrong:\n%w", config.Errors(wrong))
	}
	return nil
}

// writeNew writes a file that was not there, or with force replaces one at once.
func writeNew(path string, data []byte, force bool) error {
	if force {
		tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		defer func() { _ = os.Remove(tmp.Name()) }() // after the rename there is nothing to remove
		_, err = tmp.Write(data)
		if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
			err = os.Rename(tmp.Name(), path)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // it holds no secret, and the gateway's user must read it
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: --force replaces it, --out writes another", path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// report says what was found and what to do next.
func (p *plan) report(out *printer, doc *spec.API, file string) {
	unreachable, objects := 0, map[string]bool{}
	for _, op := range doc.Operations {
		if op.Unroutable != "" {
			unreachable++
		}
		if op.Object != nil {
			objects[op.Object.Resource] = true
		}
	}
	out.linef("%s %s", out.green("wrote"), out.bold(file))
	out.linef("  %s, %d of them public", count(len(doc.Operations), "operation"), p.public)
	if len(objects) > 0 {
		names := make([]string, 0, len(objects))
		for n := range objects {
			names = append(names, n)
		}
		slices.Sort(names)
		out.linef("  %s addressed by id: %s", count(len(names), "kind")+" of object", plain(strings.Join(names, ", ")))
	}
	for _, m := range p.methods {
		out.linef("  %s", plain(m.summary))
	}
	if len(p.logins) > 0 {
		out.linef("  %s with passwords in it: tried at most %s per address", count(len(p.logins), "operation"), loginRate)
	}
	if unreachable > 0 {
		out.linef("  %s that no request can reach", count(unreachable, "operation"))
	}
	out.problems(doc)
	out.linef("\nNext:")
	step := 1
	for _, todo := range p.todos {
		out.linef("  %d. %s", step, plain(todo))
		step++
	}
	flag := ""
	if file != defaultConfig {
		flag = " -c " + file
	}
	out.linef("  %d. crenel config check%s", step, flag)
	out.linef("  %d. crenel gateway%s", step+1, flag)
}

// problems prints the first things that were left out of the document or loosened.
func (p *printer) problems(doc *spec.API) {
	bad := 0
	for _, pr := range doc.Problems {
		if pr.Severity == spec.Warning {
			continue
		}
		if bad++; bad <= 5 {
			m := config.Mistake{File: pr.Place.File, Line: pr.Place.Line, Path: pr.Place.Pointer, What: pr.Message}
			p.linef("  %s %s", p.yellow("problem"), plain(m.Error()))
		}
	}
	if bad > 5 {
		p.linef("  and %s of the document", count(bad-5, "more problem"))
	}
}
