package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected messages")

// env is the environment of the tests: nothing leaks in from outside.
func env(name string) (string, bool) {
	value, ok := map[string]string{
		"SHORT_SECRET": "kurz-und-geheim",
		"LONG_SECRET":  "ein-langes-geheimnis-von-mindestens-32-bytes",
		"WRONG_MODE":   "geheimer-modus",
		"EMPTY":        "",
		"PORT":         "9000",
	}[name]
	return value, ok
}

const ruler = "----------\n"

// TestBroken reads every config of testdata/broken: one mistake each, and the
// message that a person gets.
func TestBroken(t *testing.T) {
	names, err := filepath.Glob("testdata/broken/*.txt")
	if err != nil || len(names) < 60 {
		t.Fatalf("%d fixtures, %v; want 60 or more", len(names), err)
	}
	messages := map[string]string{}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(data), ruler)
			if !ok {
				t.Fatalf("no ruler in %s", name)
			}
			_, err = Parse([]byte(input), "testdata/crenel.yaml", Options{Env: env})
			if err == nil {
				t.Fatal("the config was accepted")
			}
			wd, _ := filepath.Abs("testdata")
			got := strings.NewReplacer(wd+"/", "", "testdata/", "").Replace(err.Error()) + "\n"
			for _, secret := range []string{"hunter2", "geheim"} {
				if strings.Contains(got, secret) {
					t.Errorf("a secret is printed: %s", got)
				}
			}
			if *update {
				if err := os.WriteFile(name, []byte(input+ruler+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			var list Errors
			if !errors.As(err, &list) || len(list) != 1 {
				t.Errorf("%d mistakes, want the one", len(list))
			}
			if other, dup := messages[got]; dup {
				t.Errorf("same message as %s", other)
			}
			messages[got] = name
		})
	}
}
