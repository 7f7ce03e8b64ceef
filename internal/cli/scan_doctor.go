package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/scan"
)

// newScanDoctor is crenel scan doctor.
func newScanDoctor() *cobra.Command {
	s := &scanning{}
	asJSON := false
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether a target can be tested: is it there, does everyone log in, what can be reached",
		Long: `Looks at what must work before anything can be tested, and says what is wrong and
what to do: the way to the target, its base path, each account's login, whether its
session works, refreshes and ends as it says, and which operations answer with a
success. It attacks nothing. It makes objects, and accounts where none are given, and
takes away what it made. Each scan begins with it.

Exit codes: 0 the target can be tested, 1 it was interrupted, 2 the command was
called wrongly, 3 the target cannot be tested.`,
		Args: noScanArgs,
		Example: examples(
			"crenel scan doctor --spec openapi.yaml --target http://127.0.0.1:9000",
			"crenel scan doctor -c scan.yaml",
		),
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := s.options(c)
			if err != nil {
				return err
			}
			d, err := scan.Doctor(c.Context(), o, nil)
			if err != nil && c.Context().Err() != nil {
				err = errors.New("the examination was interrupted: what it did not come to is not told")
				if d != nil {
					err = errors.Join(d.Print(c.OutOrStdout()), err)
				}
				return err
			}
			if err != nil && d == nil {
				if errors.Is(err, scan.ErrTarget) {
					return err
				}
				return usagef("%v", err)
			}
			if err != nil {
				return errors.Join(d.Print(c.OutOrStdout()), err)
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetIndent("", "  ")
				if err := enc.Encode(d); err != nil {
					return fmt.Errorf("writing the diagnosis: %w", err)
				}
			} else if err := d.Print(c.OutOrStdout()); err != nil {
				return err
			}
			if !d.Usable() {
				return fmt.Errorf("%w: %w", scan.ErrTarget, errReported)
			}
			return nil
		},
	}
	f := c.Flags()
	s.where(f)
	f.Uint64Var(&s.o.Seed, "seed", 0, "draw values by this `number`: the same seed makes the same calls")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
