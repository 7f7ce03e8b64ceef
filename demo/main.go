package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// options is how the demo was called.
type options struct {
	crenel               string
	once                 bool
	spec, target, attack string
}

// interrupted is what Ctrl-C means: the end that a user wants, but not a tour that was held.
func (o options) interrupted() error {
	if o.once {
		return errInterrupted
	}
	return nil
}

var errInterrupted = errors.New("interrupted before the end")

// consent is what --attack must say.
const consent = "yes-i-own-it"

// errWrong is returned when a line was not as expected; the lines say which.
var errWrong = errors.New("not everything was as expected")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "demo:", err)
	os.Exit(1)
}

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:           "demo",
		Short:         "Show what Crenel does, on a sample API or on your own",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := filepath.Abs(o.crenel)
			if err != nil {
				return fmt.Errorf("finding %s: %w", o.crenel, err)
			}
			o.crenel = path
			switch {
			case (o.spec == "") != (o.target == ""):
				return errors.New("SPEC and TARGET go together: the API's OpenAPI document, and where the API is")
			case o.attack != "" && o.attack != consent:
				return fmt.Errorf("ATTACK=%s: only ATTACK=%s attacks, and only an API that is yours", o.attack, consent)
			case o.attack != "" && o.spec == "":
				return errors.New("ATTACK goes with SPEC and TARGET; Harbour is attacked anyway")
			case o.spec != "":
				return ownAPI(c.Context(), o, newPage(os.Stdout))
			}
			return sample(c.Context(), o, newPage(os.Stdout))
		},
	}
	c.Flags().StringVar(&o.crenel, "crenel", "bin/crenel", "the crenel `binary`")
	c.Flags().BoolVar(&o.once, "once", false, "end after the tour; exit with 1 when a line of it is not as expected")
	c.Flags().StringVar(&o.spec, "spec", "", "your API's OpenAPI `document`, a file or a URL")
	c.Flags().StringVar(&o.target, "target", "", "the `URL` of your API")
	c.Flags().StringVar(&o.attack, "attack", "", consent+": attack the target, which is yours")
	return c
}

// sample is the tour of Harbour.
func sample(ctx context.Context, o options, p *page) (err error) {
	began := time.Now()
	s, err := newStage(ctx, o.crenel)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return err
	}
	t := &tour{stage: s, page: p, began: began, stoppedBy: map[string]string{}}
	err = t.walk(ctx)
	if ctx.Err() != nil {
		return o.interrupted()
	}
	if err != nil {
		return err
	}
	if !o.once {
		p.linef("\nAll of it stays up for you to try. Ctrl-C ends it.")
		<-ctx.Done()
		return nil
	}
	if len(t.wrong) > 0 {
		return errWrong
	}
	return nil
}
