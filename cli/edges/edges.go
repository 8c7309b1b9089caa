// Package edges is "mezu edges": the public nodes of an installation, on the command line. They
// enrol themselves, so that there is no create.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli imports it.
package edges

import (
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu edges".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show and remove the edges of the installation", n.NewList(inv), n.NewShow(inv), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.Edge] {
	columns := []terminal.Column[mezu.Edge]{
		{Head: "NAME", Rank: terminal.Name, Value: func(e mezu.Edge) string { return e.Name }},
		{Head: "STATUS", Value: func(e mezu.Edge) string { return string(e.Status) }},
		{Head: "ADDRESS", Value: func(e mezu.Edge) string { return e.PublicAddress }},
		{Head: "LAST SEEN", At: func(e mezu.Edge) time.Time { return e.LastSeenAt }},
		{Head: "FOR WARPGATES", Rank: terminal.Detail, Value: func(e mezu.Edge) string { return e.TunnelAddress }},
		{Head: "VERSION", Rank: terminal.Detail, Value: func(e mezu.Edge) string { return e.Version }},
	}
	return collection.Noun[mezu.Edge]{
		Name: "edges", One: "edge", Many: "edges",
		Operations: collection.Operations{In: collection.AtTop, List: api.OpListEdges, Get: api.OpGetEdge, Delete: api.OpDeleteEdge},
		Label:      func(e mezu.Edge) string { return e.Name },
		Columns:    columns,
		Details: slices.Concat(columns, []terminal.Column[mezu.Edge]{
			{Head: "CERTIFICATE", Value: func(e mezu.Edge) string { return e.Serial }},
		}, collection.Meta(func(e mezu.Edge) mezu.Meta { return e.Meta })),
		Empty:    "mezusphere join-token create lets one enrol",
		Deletion: collection.Deletion[mezu.Edge]{Note: "whose certificate ends; with a join token it can enrol anew"},
	}
}
