package harbour

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

type webhook struct {
	ID         string   `json:"id"`
	CustomerID int64    `json:"customer_id"`
	URL        string   `json:"url"`
	Events     []string `json:"events"`
}

const webhookQuery = `SELECT id, customer_id, url, events FROM webhooks`

func scanWebhook(r scanner) (webhook, error) {
	var h webhook
	var events string
	err := r.Scan(&h.ID, &h.CustomerID, &h.URL, &events)
	h.Events = strings.Split(events, ",")
	return h, err
}

func (s *Server) listWebhooks(c *call) error {
	items, err := many(c.ctx(), s.db, scanWebhook, webhookQuery+` WHERE customer_id = ? ORDER BY created_at, id LIMIT 100`, c.who.ID)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}

type webhookInput struct {
	URL    string   `json:"url"`
	Events []string `json:"events"`
}

var webhookEvents = []string{"parcel.dispatched", "parcel.out_for_delivery", "parcel.delivered"}

func (s *Server) createWebhook(c *call) error {
	var in webhookInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.text("/url", in.URL, 8, 300)
	if len(in.Events) < 1 || len(in.Events) > 3 {
		k.fault("/events", "1 to 3 events are needed")
	}
	for i, e := range in.Events {
		k.oneOf(fmt.Sprintf("/events/%d", i), e, webhookEvents...)
	}
	err = s.checkTarget(in.URL)
	if err != nil {
		k.fault("/url", err.Error())
	}
	if err := k.err(); err != nil {
		return err
	}
	h := webhook{s.newUUID(), c.who.ID, in.URL, in.Events}
	_, err = exec(c.ctx(), s.db, `INSERT INTO webhooks (id, customer_id, url, events, created_at) VALUES (?, ?, ?, ?, ?)`,
		h.ID, h.CustomerID, h.URL, strings.Join(h.Events, ","), stamp(s.now()))
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, h)
}

// checkTarget says why a webhook may not call an address. What it says is shown to the customer.
func (s *Server) checkTarget(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("an absolute URL is needed")
	}
	if s.open("ssrf-webhook") {
		// Any address is called, from inside the network.
		return nil
	}
	if slices.Contains(s.opts.WebhookAllow, u.Host) {
		return nil
	}
	if u.Scheme != "https" || u.Port() != "" && u.Port() != "443" {
		return errors.New("an https URL without a port is needed")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err == nil && !public(ip) || u.Hostname() == "localhost" || !strings.Contains(u.Hostname(), ".") {
		return errors.New("a public host is needed")
	}
	return nil
}

func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() &&
		!netip.MustParsePrefix("100.64.0.0/10").Contains(ip)
}

func (s *Server) webhookOf(c *call) (webhook, error) {
	id, err := c.pathUUID("webhook_id")
	if err != nil {
		return webhook{}, err
	}
	h, err := one(c.ctx(), s.db, scanWebhook, webhookQuery+` WHERE id = ? AND customer_id = ?`, id, c.who.ID)
	if errors.Is(err, errNoRow) {
		return h, notFound("webhook")
	}
	return h, err
}

func (s *Server) deleteWebhook(c *call) error {
	h, err := s.webhookOf(c)
	if err != nil {
		return err
	}
	_, err = exec(c.ctx(), s.db, `DELETE FROM webhooks WHERE id = ?`, h.ID)
	if err != nil {
		return err
	}
	return c.sendNothing()
}

type delivery struct {
	WebhookID string `json:"webhook_id"`
	Delivered bool   `json:"delivered"`
	Status    int    `json:"status,omitempty"`

	Answer string `json:"answer,omitempty"` // only in the open branch of ssrf-webhook
}

// testWebhook sends a sample event and says whether it arrived.
func (s *Server) testWebhook(c *call) error {
	h, err := s.webhookOf(c)
	if err != nil {
		return err
	}
	out := delivery{WebhookID: h.ID}
	sample, err := json.Marshal(map[string]string{"event": h.Events[0], "sent_at": stamp(s.now())})
	if err != nil {
		return fmt.Errorf("encoding a sample event: %w", err)
	}
	ctx, cancel := context.WithTimeout(c.ctx(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(sample))
	if err != nil {
		return fmt.Errorf("preparing a webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.outbound(req)
	if err != nil {
		// Unreachable is an answer, not a failure of ours; why is not told.
		s.log.Info("webhook not delivered", "webhook_id", h.ID, "error", err)
		return c.send(http.StatusOK, out)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // a cut answer still has a status
	out.Delivered, out.Status = resp.StatusCode < 300, resp.StatusCode
	if s.open("ssrf-webhook") {
		out.Answer = string(answer)
	}
	return c.send(http.StatusOK, out)
}

// outbound sends a request that a customer has caused.
func (s *Server) outbound(req *http.Request) (*http.Response, error) {
	if s.opts.HTTPClient != nil {
		return s.opts.HTTPClient.Do(req)
	}
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	if !s.open("ssrf-webhook") && !slices.Contains(s.opts.WebhookAllow, req.URL.Host) {
		// Fixed: what is dialled is judged, not what the URL says, so a name that
		// points at a private address (now, or at the second look-up) does not help.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !public(to.Addr()) {
				return fmt.Errorf("%s is not a public address", address)
			}
			return nil
		}
	}
	client := &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client.Do(req)
}
