package main

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

const (
	bodies  = 1000
	callers = 100
	secret  = "a-secret-of-the-benchmark-0123456789abcdef"
)

//go:embed openapi.yaml
var document string

//go:embed crenel.yaml
var settings string

//go:embed workload.lua
var script string

// writeConfig writes the gateway's config and document, and returns the config's file.
func writeConfig(dir, own string) (string, error) {
	if _, err := write(dir, "openapi.yaml", document); err != nil {
		return "", err
	}
	text := settings
	if own != "" {
		b, err := os.ReadFile(own)
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	return write(dir, "crenel.yaml", text)
}

// path is where the i-th GET goes.
func path(i int) string { return fmt.Sprintf("/v1/parcels/%d?expand=events&limit=%d", 1000+i, 1+i%50) }

// token is the i-th caller's bearer token.
func token(i int) string {
	enc := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(map[string]any{
		"iss": "https://issuer.bench", "aud": "bench", "sub": fmt.Sprintf("caller-%03d", i%callers), "scope": "parcels:read parcels:write",
		"tenant": fmt.Sprintf("tenant-%d", i%7), "roles": []string{"customer"}, "iat": time.Now().Unix() - 60, "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		panic(err) // plain values always marshal
	}
	signed := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc(claims)
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(signed))
	return "Bearer " + signed + "." + enc(h.Sum(nil))
}

// body is the i-th POST's body, about 1 KB.
func body(i int) ([]byte, error) {
	rng := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // the same every time
	word := func() string {
		b := make([]byte, 3+rng.IntN(8))
		for i := range b {
			b[i] = byte('a' + rng.IntN(26))
		}
		return string(b)
	}
	address := func() map[string]any {
		return map[string]any{"name": word() + " " + word(), "street": word() + " street", "number": rng.IntN(200) + 1,
			"postcode": fmt.Sprintf("%05d", rng.IntN(100000)), "city": word(), "country": "DE"}
	}
	var items []map[string]any
	for range 5 {
		items = append(items, map[string]any{"sku": "SKU-" + strings.ToUpper(word()), "title": word() + " " + word(), "quantity": rng.IntN(9) + 1,
			"price": float64(rng.IntN(100000)) / 100, "fragile": rng.IntN(2) == 0})
	}
	return json.Marshal(map[string]any{
		"reference": fmt.Sprintf("ref-%06d", i), "sender": address(), "recipient": address(), "weight_grams": rng.IntN(30000) + 1,
		"service": []string{"standard", "express", "overnight"}[rng.IntN(3)], "items": items, "notify": []string{word() + "@example.com", word() + "@example.com"},
		"note": strings.Repeat(word()+" ", 14),
	})
}

// load is what a load generator sends.
type load struct {
	script, dir string
	post        string // where a POST goes
	host        string // the Host field; "" for the target's address
	body        func(i int) ([]byte, error)
}

// write writes wrk's script, and beside it what it sends, one line a request.
func (l *load) write(dir string) (err error) {
	var paths, posts, tokens strings.Builder
	for i := range bodies {
		b, err := l.body(i)
		if err != nil {
			return err
		}
		paths.WriteString(path(i) + "\n")
		posts.Write(append(b, '\n'))
	}
	for i := range callers {
		tokens.WriteString(token(i) + "\n")
	}
	for name, text := range map[string]string{"paths": paths.String(), "bodies": posts.String(), "tokens": tokens.String()} {
		if _, err := write(dir, name, text); err != nil {
			return err
		}
	}
	l.dir = dir
	l.script, err = write(dir, "workload.lua", script)
	return err
}
