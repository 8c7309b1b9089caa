// Package warpgates is "mezu warpgates": the connectors of an environment on the command
// line. They register themselves, so that there is no create.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package warpgates

import (
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu warpgates".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, drain and remove the Warpgates of an environment", n.NewList(inv), n.NewShow(inv),
		n.NewAct(inv, "drain", "Send a Warpgate nothing new; what is under way ends", "draining", api.OpDrainWarpgate),
		n.NewAct(inv, "undrain", "Send a drained Warpgate requests again", "no longer draining", api.OpUndrainWarpgate),
		n.NewDelete(inv))
}

func noun() collection.Noun[mezu.Warpgate] {
	columns := []terminal.Column[mezu.Warpgate]{
		{Head: "ID", Rank: terminal.Handle, Value: func(w mezu.Warpgate) string { return w.ID }},
		{Head: "STATUS", Value: status},
		{Head: "ADDRESS", Rank: terminal.Detail, Value: func(w mezu.Warpgate) string { return w.Address }},
		{Head: "VERSION", Rank: terminal.Detail, Value: func(w mezu.Warpgate) string { return w.Version }},
		{Head: "EDGES", Rank: terminal.Detail, Value: func(w mezu.Warpgate) string { return strings.Join(w.Edges, ",") }},
		{Head: "BUNDLE", Rank: terminal.Detail, Value: bundle},
		{Head: "LAST SEEN", At: func(w mezu.Warpgate) time.Time { return w.LastSeenAt }},
		{Head: "MACHINE", Rank: terminal.Detail, Value: func(w mezu.Warpgate) string { return w.Name }},
	}
	meta := collection.Meta(func(w mezu.Warpgate) mezu.Meta { return w.Meta })
	return collection.Noun[mezu.Warpgate]{
		Name: "warpgates", One: "Warpgate", Many: "Warpgates", Arg: "NAME|ID",
		Operations: collection.Operations{In: collection.InEnvironment, List: api.OpListWarpgates, Watch: api.OpWatchWarpgates, Get: api.OpGetWarpgate, Delete: api.OpDeleteWarpgate},
		Label:      func(w mezu.Warpgate) string { return w.ID },
		Check:      func(id string) error { return mezu.ValidateID("id", mezu.PrefixWarpgate, id) },
		Called:     func(w mezu.Warpgate) string { return w.Name },
		Columns:    columns,
		Details: slices.Concat(columns, []terminal.Column[mezu.Warpgate]{
			{Head: "UPSTREAM", Value: upstream},
			{Head: "ALLOWED TARGETS", Value: allowed},
			{Head: "REGISTERED BY", Value: func(w mezu.Warpgate) string { return w.RegisteredBy }},
			{Head: "CERTIFICATE", Value: func(w mezu.Warpgate) string { return w.Serial }},
		}, meta[:len(meta)-1]), // without the id, which comes first
		Empty:    "warpgate --token-file F --upstream HOST:PORT registers one",
		Deletion: collection.Deletion[mezu.Warpgate]{Note: "whose certificate ends; with its key it can register anew"},
	}
}

func status(w mezu.Warpgate) string {
	if w.Draining {
		return string(w.Status) + ",draining"
	}
	return string(w.Status)
}

// upstream is where requests go whose route names none; empty if the Warpgate doesn't say.
func upstream(w mezu.Warpgate) string {
	switch {
	case w.Targets == nil:
		return ""
	case w.Targets.Upstream == "" && !w.Targets.More:
		return "none"
	}
	return w.Targets.Upstream
}

// allowed are the further upstreams that routes may name.
func allowed(w mezu.Warpgate) string {
	if w.Targets == nil {
		return ""
	}
	all := slices.Clone(w.Targets.Allow)
	if w.Targets.More {
		all = append(all, "…")
	}
	return strings.Join(all, ",")
}

// bundle is the position of the bundle that the Warpgate acknowledged last.
func bundle(w mezu.Warpgate) string {
	if w.Bundle.IsZero() {
		return ""
	}
	return w.Bundle.String()
}
