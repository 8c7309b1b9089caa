// Command signers sends webhooks through something in between, as the libraries of Stripe and Slack
// sign and verify them.
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/slack-go/slack"
	"github.com/stripe/stripe-go/v82/webhook"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// sender sends to what is in between.
type sender struct {
	client *http.Client
	base   string
}

func run() error {
	addr := flag.String("addr", "", "address of what is in between")
	host := flag.String("host", "", "name and port of what is sent to")
	ca := flag.String("ca", "", "file of the CA that its certificate is from")
	stripeSecret := flag.String("stripe", "", "secret of Stripe's webhook")
	slackSecret := flag.String("slack", "", "secret of Slack's")
	flag.Parse()
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, *addr)
	}}
	defer transport.CloseIdleConnections()
	s := sender{&http.Client{Transport: transport, Timeout: time.Minute}, "https://" + *host}
	return errors.Join(s.stripe(*stripeSecret), s.slack(*slackSecret))
}

// sends posts a body, and says if the answer has another status than is wanted.
func (s sender) sends(what, path string, body []byte, header http.Header, want int) error {
	req, err := http.NewRequest("POST", s.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header.Clone()
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != want {
		return fmt.Errorf("%s: %s, want %d: %.200s", what, resp.Status, want, answer)
	}
	return nil
}

// stripe sends what stripe-go signs.
func (s sender) stripe(secret string) error {
	body := []byte("{\"id\": \"evt_1\",\n \"text\": \"\u00fc\"}")
	signed := func(secret string, at time.Time) http.Header {
		p := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: at})
		return http.Header{"Stripe-Signature": {p.Header}}
	}
	now := time.Now()
	good := signed(secret, now)
	if err := webhook.ValidatePayload(body, good.Get("Stripe-Signature"), secret); err != nil {
		return err
	}
	next := now.Add(time.Second)
	rolled := signed("another", next)
	rolled.Set("Stripe-Signature", rolled.Get("Stripe-Signature")+",v1="+hex.EncodeToString(webhook.ComputeSignature(next, body, secret)))
	return errors.Join(
		s.sends("stripe-go", "/hooks/stripe", body, good, 200),
		s.sends("stripe-go, a repeat", "/hooks/stripe", body, good, 401),
		s.sends("stripe-go, by a rolled secret", "/hooks/stripe", body, rolled, 200),
		s.sends("stripe-go, by another secret", "/hooks/stripe", body, signed("another", now), 401),
		s.sends("stripe-go, too old", "/hooks/stripe", body, signed(secret, now.Add(-webhook.DefaultTolerance-time.Minute)), 401),
	)
}

// slack sends what slack-go takes for Slack's.
func (s sender) slack(secret string) error {
	signed := func(body string, at time.Time) http.Header {
		stamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		io.WriteString(mac, "v0:"+stamp+":"+body)
		return http.Header{"X-Slack-Request-Timestamp": {stamp}, "X-Slack-Signature": {"v0=" + hex.EncodeToString(mac.Sum(nil))}}
	}
	verified := func(body string, header http.Header) error {
		v, err := slack.NewSecretsVerifier(header, secret)
		if err == nil {
			_, err = io.WriteString(&v, body)
		}
		if err == nil {
			err = v.Ensure()
		}
		return err
	}
	now := time.Now()
	for _, c := range []struct {
		what, body string
		header     http.Header
	}{
		{"slack-go", "token=x&command=%2Fdeploy", signed("token=x&command=%2Fdeploy", now)},
		{"slack-go, another body", "token=y", signed("token=x", now)},
		{"slack-go, too old", "a", signed("a", now.Add(-6*time.Minute))},
		{"slack-go, from the future", "a", signed("a", now.Add(6*time.Minute))},
		{"slack-go, no time", "a", http.Header{"X-Slack-Signature": signed("a", now)["X-Slack-Signature"]}},
	} {
		want := 200
		if verified(c.body, c.header) != nil {
			want = 401
		}
		if err := s.sends(c.what, "/hooks/slack", []byte(c.body), c.header, want); err != nil {
			return err
		}
	}
	return nil
}
