package server

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// lookEvery is how often dependencies are looked at for alarms.
const lookEvery = 5 * time.Second

// watchDependencies raises alarms while something that the gateway leans on is
// down, until ctx ends. The event file raises its own.
func (s *Server) watchDependencies(ctx context.Context) {
	d := dependencies{raise: s.alarms.Raise, remind: s.config().Alarms.Every}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.look(now, s.failing())
		}
	}
}

// failing says, by name, what is wrong with each dependency that is not well.
func (s *Server) failing() map[string]string {
	out := map[string]string{}
	for _, c := range s.current().Ready() {
		if c.Error != "" {
			out[c.Name] = c.Error
		}
	}
	for _, c := range s.signalChecks() {
		if c.Error != "" {
			out[c.Name] = c.Error
		}
	}
	if err := s.state.Ready(); err != nil {
		out["state"] = err.Error()
	}
	for _, u := range s.plane.Upstreams() {
		if !u.Healthy {
			out[u.API+": upstream "+u.Address] = "takes no requests"
		}
	}
	return out
}

// dependencies remembers what was down at the last look.
type dependencies struct {
	raise  func(kind, message string)
	remind time.Duration // between two alarms of one long failure
	down   map[string]string
	told   time.Time
}

// look raises an alarm when something has gone down since the last look, again
// each time that remind has passed, and one when all is well again. Each names
// everything that is down, since of two close together only the first is told.
func (d *dependencies) look(now time.Time, down map[string]string) {
	fresh := false
	for name := range down {
		_, before := d.down[name]
		fresh = fresh || !before
	}
	switch {
	case fresh || len(down) > 0 && now.Sub(d.told) >= d.remind:
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(down)) {
			lines = append(lines, name+": "+down[name])
		}
		d.raise("dependency.down", strings.Join(lines, "; "))
		d.told = now
	case len(down) == 0 && len(d.down) > 0:
		d.raise("dependency.recovered", "all that was down is well again")
	}
	d.down = down
}
