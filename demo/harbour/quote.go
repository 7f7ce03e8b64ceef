package harbour

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

type quoteInput struct {
	Service       string `json:"service"`
	WeightGrams   int64  `json:"weight_grams"`
	Country       string `json:"country"`
	DeclaredValue int64  `json:"declared_value_cents"`
}

type quote struct {
	Country     string  `json:"country"`
	Carriage    int64   `json:"carriage_cents"`
	DutyPercent float64 `json:"duty_percent"`
	Duty        int64   `json:"duty_cents"`
	Total       int64   `json:"total_cents"`
}

// partnerRate is the customs partner's answer.
type partnerRate struct {
	Country     string  `json:"country"`
	DutyPercent float64 `json:"duty_percent"`
}

var errPartner = errors.New("the partner's answer makes no sense")

// createQuote prices a parcel with customs duty, whose rate a third party knows.
func (s *Server) createQuote(c *call) error {
	var in quoteInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.oneOf("/service", in.Service, services...)
	k.number("/weight_grams", in.WeightGrams, 1, 30_000)
	k.match("/country", in.Country, reCountry)
	k.number("/declared_value_cents", in.DeclaredValue, 0, 10_000_000)
	if err := k.err(); err != nil {
		return err
	}
	rate, err := s.rateOf(c.ctx(), in.Country)
	if err != nil {
		p := problem(http.StatusBadGateway, "partner_unavailable", "The customs partner cannot be asked at the moment.")
		p.cause = err
		return p
	}
	q := quote{Country: in.Country, Carriage: priceOf(in.Service, in.WeightGrams), DutyPercent: rate.DutyPercent}
	q.Duty = int64(float64(in.DeclaredValue) * rate.DutyPercent / 100)
	q.Total = q.Carriage + q.Duty
	return c.send(http.StatusOK, q)
}

func (s *Server) rateOf(ctx context.Context, country string) (partnerRate, error) {
	own, err := one(ctx, s.db, func(r scanner) (partnerRate, error) {
		p := partnerRate{Country: country}
		return p, r.Scan(&p.DutyPercent)
	}, `SELECT duty_percent FROM rates WHERE country = ?`, country)
	if !errors.Is(err, errNoRow) {
		return own, err
	}
	raw, err := s.askPartner(ctx, country)
	if err != nil {
		return partnerRate{}, fmt.Errorf("asking the customs partner: %w", err)
	}
	var rate partnerRate
	err = json.Unmarshal(raw, &rate)
	if err != nil {
		return partnerRate{}, fmt.Errorf("decoding the customs partner's answer: %w", err)
	}
	// With unsafe-partner-answer a partner is trusted like our own code. Fixed: its answer is input like any other.
	if !s.open("unsafe-partner-answer") && (rate.Country != country || rate.DutyPercent < 0 || rate.DutyPercent > 100) {
		return partnerRate{}, errPartner
	}
	return rate, nil
}

// hijackedCountry is the one for which the built-in partner answers as a
// hijacked one would: a negative duty, which turns a price into a credit.
const hijackedCountry = "AQ"

func (s *Server) askPartner(ctx context.Context, country string) ([]byte, error) {
	if s.opts.PartnerURL == "" {
		duty := 0.0
		switch country {
		case "CH", "NO":
			duty = 7.5
		case "GB", "US", "JP":
			duty = 12
		case hijackedCountry:
			duty = -450
		}
		return json.Marshal(partnerRate{country, duty})
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.opts.PartnerURL+"?country="+url.QueryEscape(country), nil)
	if err != nil {
		return nil, err
	}
	client := s.opts.HTTPClient
	if client == nil {
		client = http.DefaultClient // the operator chose this address, no customer did
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the partner answered %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 4096))
}
