package traffic_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/issuer"
	"github.com/crenel-project/crenel/demo/harbour/traffic"
	"github.com/crenel-project/crenel/internal/race"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerURL = "https://login.harbour.example"

// unreachable stands for the internet, which the day's webhooks point at.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network in this test")
}

func player(t *testing.T, holes []string) *traffic.Player {
	t.Helper()
	start := time.Date(2026, 3, 17, 0, 0, 0, 0, time.UTC)
	now := start
	clock := func() time.Time { return now }
	tokens, err := issuer.New(issuerURL, clock)
	if err != nil {
		t.Fatal(err)
	}
	s, err := harbour.New(harbour.Options{
		Holes: holes, Clock: clock, Seed: 1, Residents: traffic.Residents, PasswordRounds: 10,
		Issuer: issuerURL, JWKS: tokens.Keys, HTTPClient: &http.Client{Transport: unreachable{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &traffic.Player{
		Do: traffic.InProcess(s), Start: start, SetClock: func(to time.Time) { now = to },
		AccessToken: func(_ context.Context, client string, scopes []string) (string, error) {
			return tokens.Token(client, scopes...)
		},
	}
}

// aDay is the whole day, or its first hours when tests should be quick.
func aDay() []traffic.Call {
	day := traffic.Day(1)
	if testing.Short() || race.Enabled {
		return traffic.Head(day, 7*time.Hour)
	}
	return day
}

func TestDayIsHonest(t *testing.T) {
	for name, holes := range map[string][]string{"none": nil, "all": harbour.HoleIDs()} {
		t.Run(name, func(t *testing.T) {
			report, err := player(t, holes).Play(t.Context(), aDay())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d calls, by status %v, by kind %v", report.Calls, report.ByStatus, report.ByKind)
			for i, f := range report.Failures {
				if i < 10 {
					t.Error(f)
				}
			}
			if report.Failed > 0 {
				t.Errorf("%d of %d calls were not answered as they should be", report.Failed, report.Calls)
			}
		})
	}
}

func TestDayIsLargeOrderedAndDeterministic(t *testing.T) {
	day := traffic.Day(7)
	if len(day) < 20_000 {
		t.Errorf("%d calls, 20 000 are promised", len(day))
	}
	kinds, mistakes := map[string]int{}, 0
	for i, c := range day {
		if i > 0 && c.At < day[i-1].At {
			t.Fatalf("call %d is before call %d", i, i-1)
		}
		if c.At < 0 || c.At > 24*time.Hour {
			t.Errorf("call %d is at %s, outside the day", i, c.At)
		}
		kinds[c.Kind]++
		if c.Mistake() {
			mistakes++
		}
	}
	for _, kind := range []string{"web", "mobile", "scanner", "office", "system", "anonymous"} {
		if kinds[kind] == 0 {
			t.Errorf("nobody calls as %s", kind)
		}
	}
	if mistakes == 0 || mistakes > len(day)/10 {
		t.Errorf("%d mistakes in %d calls: some are human, not so many", mistakes, len(day))
	}
	if !reflect.DeepEqual(day, traffic.Day(7)) {
		t.Error("two days of one seed differ")
	}
	if reflect.DeepEqual(day[:500], traffic.Day(8)[:500]) {
		t.Error("two seeds give one day")
	}
}

func TestPlayerReportsWrongAnswers(t *testing.T) {
	p := player(t, nil)
	p.Do = func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusForbidden, Body: http.NoBody}, nil
	}
	calls := traffic.Day(1)[:50]
	report, err := p.Play(t.Context(), calls)
	if err != nil || report.Failed != len(calls) {
		t.Errorf("a handler that refuses everything failed %d of %d calls (%v)", report.Failed, len(calls), err)
	}
}
