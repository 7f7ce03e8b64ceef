package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
)

func newKeys() *cobra.Command {
	return group("keys", "Make, list, replace and revoke API keys",
		examples("crenel keys create --subject billing --scope invoices:read", "crenel keys list", "crenel keys revoke k7qmz2ab"),
		newKeysCreate(), newKeysList(), newKeysRotate(), newKeysRevoke())
}

// keyFile says which key file a command is about.
type keyFile struct{ config, file, api string }

func (k *keyFile) flags(c *cobra.Command) {
	configFlag(c, &k.config)
	c.Flags().StringVar(&k.file, "file", "", "the key `file`, instead of the config's")
	c.Flags().StringVar(&k.api, "api", "", "the `name` of the API, when the config has several with keys")
}

// path finds the key file: the one named, or the only one of the config.
func (k *keyFile) path() (string, error) {
	if k.file != "" {
		return k.file, nil
	}
	files, err := config.KeyFiles(k.config)
	if err != nil {
		return "", fmt.Errorf("%w\n(with --file no config is needed)", err)
	}
	found := map[string]bool{}
	for _, f := range files {
		if k.api == "" || f.API == k.api {
			found[f.File] = true
		}
	}
	switch {
	case len(found) == 1:
		for f := range found {
			return f, nil
		}
	case len(found) > 1:
		return "", usagef("the config has several key files: choose one with --api or --file")
	}
	return "", usagef("the config has no method api_key: name the key file with --file")
}

// load reads the file; with create one that is not there is an empty one.
func (k *keyFile) load(create bool) (*apikey.File, error) {
	path, err := k.path()
	if err != nil {
		return nil, err
	}
	f, err := apikey.Load(path)
	if create && errors.Is(err, fs.ErrNotExist) {
		return &apikey.File{Path: path}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; crenel keys create makes it", err)
	}
	return f, err
}

// created is what create and rotate print with --json.
type created struct {
	ID      string     `json:"id"`
	Key     string     `json:"key"`
	File    string     `json:"file"`
	Expires *time.Time `json:"expires,omitempty"`
}

// printKey prints a new key: the only time that it can be seen.
func printKey(c *cobra.Command, asJSON bool, file, text string, key apikey.Key) error {
	if asJSON {
		out := created{ID: key.ID, Key: text, File: file}
		if !key.Expires.IsZero() {
			out.Expires = &key.Expires
		}
		return printJSON(c, out)
	}
	// The key alone on standard output, so that it can be piped to where it belongs.
	newPrinter(c.OutOrStdout()).linef("%s", text)
	p := newPrinter(c.ErrOrStderr())
	until := "does not expire"
	if !key.Expires.IsZero() {
		until = "expires " + key.Expires.Format(time.RFC3339)
	}
	p.linef("%s for %s is in %s, %s. It is not shown again: only its hash is kept.", p.bold("key "+key.ID), plain(key.Subject), file, until)
	return nil
}

func newKeysCreate() *cobra.Command {
	var at keyFile
	var want apikey.Key
	var expires string
	var rates []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "create --subject NAME",
		Short: "Make a key and print it, once",
		Args:  none,
		Example: examples(
			"crenel keys create --subject billing --scope invoices:read --expires 90d",
			"crenel keys create --subject ci --role deployer --file keys.yaml --json",
			"crenel keys create --subject partner --rate 100/m --rate 5000/d",
		),
		RunE: func(c *cobra.Command, _ []string) error {
			if strings.TrimSpace(want.Subject) == "" {
				return usagef("--subject must say who the key is for")
			}
			now := time.Now()
			if expires != "" {
				d, err := config.ParseDuration(expires)
				if err != nil || d <= 0 {
					return usagef("--expires %q is not a duration: write such as 90d or 12h", expires)
				}
				want.Expires = now.Add(d).UTC().Truncate(time.Second)
			}
			for _, r := range rates {
				if _, _, err := (config.Rate{Rate: r}).Parse(); err != nil {
					return usagef("--rate %q is not a rate: write N/s, N/m, N/h, N/d, N/w or N/mo, such as 100/m", r)
				}
				want.Rates = append(want.Rates, apikey.Rate{Rate: r})
			}
			f, err := at.load(true)
			if err != nil {
				return err
			}
			text, key, err := apikey.Generate(want, now)
			if err != nil {
				return err
			}
			f.Add(key)
			if err := f.Save(); err != nil {
				return err
			}
			return printKey(c, asJSON, f.Path, text, key)
		},
	}
	at.flags(c)
	c.Flags().StringVar(&want.Subject, "subject", "", "who the key is for: the `name` that policies and records see")
	c.Flags().StringVar(&want.Name, "name", "", "a `note` for people")
	c.Flags().StringSliceVar(&want.Scopes, "scope", nil, "a `scope` that the key grants; may be given again")
	c.Flags().StringSliceVar(&want.Roles, "role", nil, "a `role` that the key gives; may be given again")
	c.Flags().StringVar(&want.Tenant, "tenant", "", "the `tenant` that the key belongs to")
	c.Flags().StringSliceVar(&rates, "rate", nil, "at most this `rate` of uses, such as 100/m, beside the API's own limits; may be given again")
	c.Flags().StringVar(&expires, "expires", "", "the `duration` that it holds for, such as 90d; without, until it is revoked")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// listed is a key as keys list prints it: all but its hash.
type listed struct {
	ID      string     `json:"id"`
	Subject string     `json:"subject"`
	State   string     `json:"state"` // "valid", "expired" or "revoked"
	Name    string     `json:"name,omitempty"`
	Scopes  []string   `json:"scopes,omitempty"`
	Roles   []string   `json:"roles,omitempty"`
	Tenant  string     `json:"tenant,omitempty"`
	Rates   []string   `json:"rates,omitempty"`
	Created *time.Time `json:"created,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
}

func list(k apikey.Key, now time.Time) listed {
	l := listed{ID: k.ID, Subject: k.Subject, State: "valid", Name: k.Name, Scopes: k.Scopes, Roles: k.Roles, Tenant: k.Tenant}
	for _, r := range k.Rates {
		l.Rates = append(l.Rates, r.Rate)
	}
	if !k.Created.IsZero() {
		l.Created = &k.Created
	}
	if !k.Expires.IsZero() {
		l.Expires = &k.Expires
	}
	switch {
	case !k.Revoked.IsZero() && !now.Before(k.Revoked):
		l.State = "revoked"
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		l.State = "expired"
	}
	return l
}

func newKeysList() *cobra.Command {
	var at keyFile
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the keys of a file; never the keys themselves",
		Args:    none,
		Example: examples("crenel keys list", "crenel keys list --file keys.yaml --json"),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := at.load(false)
			if err != nil {
				return err
			}
			now := time.Now()
			all := make([]listed, 0, len(f.Keys))
			for _, k := range f.Keys {
				all = append(all, list(k, now))
			}
			if asJSON {
				return printJSON(c, all)
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "ID\tSUBJECT\tSTATE\tEXPIRES\tROLES\tSCOPES\tRATES\tNAME")
			for _, l := range all {
				expires := "never"
				if l.Expires != nil {
					expires = l.Expires.Format(time.DateOnly)
				}
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(l.ID), plain(l.Subject), l.State, expires,
					plain(strings.Join(l.Roles, " ")), plain(strings.Join(l.Scopes, " ")), plain(strings.Join(l.Rates, " ")), plain(l.Name))
			}
			return table.Flush()
		},
	}
	at.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newKeysRotate() *cobra.Command {
	var at keyFile
	var grace string
	var asJSON bool
	c := &cobra.Command{
		Use:     "rotate ID",
		Short:   "Make a new key for the holder of an old one, which goes on to hold for a while",
		Args:    one("the ID of a key: crenel keys list prints them"),
		Example: examples("crenel keys rotate k7qmz2ab", "crenel keys rotate k7qmz2ab --grace 7d"),
		RunE: func(c *cobra.Command, args []string) error {
			hold, err := config.ParseDuration(grace)
			if err != nil || hold < 0 {
				return usagef("--grace %q is not a duration: write such as 7d or 12h", grace)
			}
			f, err := at.load(false)
			if err != nil {
				return err
			}
			text, key, err := f.Rotate(args[0], time.Now(), hold)
			if err != nil {
				return err
			}
			if err := f.Save(); err != nil {
				return err
			}
			return printKey(c, asJSON, f.Path, text, key)
		},
	}
	at.flags(c)
	c.Flags().StringVar(&grace, "grace", "24h", "the `duration` that the old key goes on to hold for")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newKeysRevoke() *cobra.Command {
	var at keyFile
	c := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key at once",
		Long: `End a key at once. It stays listed, so that records can name it. A running
gateway sees the changed file by itself.`,
		Args:    one("the ID of a key: crenel keys list prints them"),
		Example: examples("crenel keys revoke k7qmz2ab"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := at.load(false)
			if err != nil {
				return err
			}
			if err := f.Revoke(args[0], time.Now()); err != nil {
				return err
			}
			if err := f.Save(); err != nil {
				return err
			}
			newPrinter(c.OutOrStdout()).linef("key %s is revoked", plain(args[0]))
			return nil
		},
	}
	at.flags(c)
	return c
}
