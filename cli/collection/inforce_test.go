package collection_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// told is a control plane that tells states of an environment one after another, the last one again
// and again.
func told(t *testing.T, states ...api.RoutesState) (collection.Path, *invocation.Invocation, *bytes.Buffer) {
	t.Helper()
	answers := make([]any, len(states))
	for i, s := range states {
		answers[i] = s
	}
	return tells(t, answers...)
}

// tells is told for any answers.
func tells(t *testing.T, answers ...any) (collection.Path, *invocation.Invocation, *bytes.Buffer) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := answers[min(int(asked.Add(1)), len(answers))-1]
		w.Header().Set("Content-Type", "application/json")
		if p, refused := now.(api.Problem); refused {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
		}
		_ = json.NewEncoder(w).Encode(now)
	}))
	t.Cleanup(server.Close)
	config := server.Client().Transport.(*http.Transport).TLSClientConfig
	client, err := api.NewClient(api.ClientConfig{BaseURL: server.URL, TLS: config, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	talk := &bytes.Buffer{}
	inv := &invocation.Invocation{Streams: terminal.Streams{Err: talk, Unicode: true}}
	return collection.Path{Client: client, Params: []string{"acme", "shop", "production"}, Text: "acme/shop/production"}, inv, talk
}

// TestInForce_Outage: what was written is said to be, whatever becomes of the wait, and an outage that
// passes ends it no sooner than its time.
func TestInForce_Outage(t *testing.T) {
	edge := mezu.NewID(mezu.PrefixEdge, time.Now())
	good := api.RoutesState{Position: at(5), Applied: []api.Applied{{ID: edge, Name: "fra-1", Position: at(5)}}}
	refuse := func(code mezu.Code) any {
		return api.Problem{Code: code, Detail: "as this test has it", Status: code.Status()}
	}
	p, inv, talk := tells(t, refuse(mezu.CodeInternal), refuse(mezu.CodeRateLimited), good)
	if err := collection.InForce(t.Context(), inv, mezu.Position{}, p); err != nil || !strings.Contains(talk.String(), "is in force: 1 edge") {
		t.Error(err, talk.String())
	}
	p, inv, _ = tells(t, refuse(mezu.CodeInternal))
	inv.Flags.Timeout = 300 * time.Millisecond
	err := collection.InForce(t.Context(), inv, mezu.Position{}, p)
	if want := "it was written, and whether it is in force everywhere is unknown after 0.3 s: as this test has it (acme/shop/production)"; exit.Of(err) != exit.TimedOut || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("code %d, %v", exit.Of(err), err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	p, inv, talk = tells(t, good)
	if err := collection.InForce(interrupted, inv, mezu.Position{}, p); exit.Of(err) != exit.Interrupted || talk.String() != "warning: it was written; whether it is in force everywhere is unknown\n" {
		t.Error(err, talk.String())
	}
	p, inv, _ = tells(t, refuse(mezu.CodeForbidden))
	err = collection.InForce(t.Context(), inv, mezu.Position{}, p)
	if want := "it was written, and whether it is in force everywhere is unknown: as this test has it"; exit.Of(err) != exit.NotAllowed || err.Error() != want {
		t.Errorf("code %d, %v", exit.Of(err), err)
	}
}

func at(revision uint64) mezu.Position { return mezu.Position{Epoch: 1, Revision: revision} }

func TestInForce(t *testing.T) {
	edge, warpgate := mezu.NewID(mezu.PrefixEdge, time.Now()), mezu.NewID(mezu.PrefixWarpgate, time.Now())
	state := func(position, ofEdge, ofWarpgate uint64) api.RoutesState {
		return api.RoutesState{Position: at(position), Applied: []api.Applied{
			{ID: edge, Name: "fra-1", Position: at(ofEdge), Behind: int(position - ofEdge)},
			{ID: warpgate, Name: "web-1", Position: at(ofWarpgate), Behind: int(position - ofWarpgate)},
		}}
	}
	// What others change meanwhile is not waited for.
	p, inv, talk := told(t, state(5, 4, 3), state(6, 6, 4), state(9, 6, 5))
	if err := collection.InForce(t.Context(), inv, mezu.Position{}, p); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(talk.String(), "✓ acme/shop/production is in force: 1 edge, 1 Warpgate (") {
		t.Error(talk.String())
	}

	// What was removed is no environment to ask about: the edges have to come to its removal, and the
	// Warpgates of others don't hear of it.
	p, inv, talk = told(t, state(5, 5, 5), state(5, 6, 5), state(5, 8, 5))
	if err := collection.InForce(t.Context(), inv, at(8), p); err != nil || !strings.Contains(talk.String(), "is in force") {
		t.Error(err, talk.String())
	}
	p, inv, _ = told(t, state(5, 7, 5))
	inv.Flags.Timeout = 300 * time.Millisecond
	if err := collection.InForce(t.Context(), inv, at(8), p); exit.Of(err) != exit.TimedOut || !strings.Contains(err.Error(), "edge fra-1 is behind") {
		t.Error(err)
	}

	for want, s := range map[string]api.RoutesState{
		"Warpgate web-1 is 1 change behind (acme/shop/production)":                                    state(5, 5, 4),
		"edge fra-1 is 1 change behind and Warpgate web-1 is 5 changes behind (acme/shop/production)": state(5, 4, 0),
		"no edge is connected (acme/shop/production)":                                                 {Position: at(5)},
	} {
		p, inv, _ := told(t, s)
		inv.Flags.Timeout = 300 * time.Millisecond
		err := collection.InForce(t.Context(), inv, mezu.Position{}, p)
		if exit.Of(err) != exit.TimedOut || !strings.Contains(err.Error(), "not in force everywhere after 0.3 s: "+want) {
			t.Errorf("code %d, %v, not %s", exit.Of(err), err, want)
		}
	}
}
