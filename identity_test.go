package mezu_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

const id26 = "00000000000000000000000001"

var peers = []mezu.Identity{
	{Role: mezu.PeerEdge, ID: "edg_" + id26},
	{Role: mezu.PeerControl, ID: "ctl_" + id26},
	{Role: mezu.PeerWarpgate, ID: "wgt_" + id26, Organization: "org_" + id26, Project: "prj_" + id26, Environment: "env_" + id26},
}

func TestK8_Identity(t *testing.T) {
	for _, id := range peers {
		u, err := url.Parse(id.String())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := mezu.ParseIdentity(u); err != nil || again != id {
			t.Errorf("%s reads as %+v, %v", id, again, err)
		}
	}
	if got, want := peers[2].String(), "mezu://org_"+id26+"/prj_"+id26+"/env_"+id26+"/warpgate/wgt_"+id26; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	edge, warpgate := peers[0].String(), peers[2].String()
	for _, s := range []string{
		"", "mezu:", "mezu://", "mezu://edge", "mezu://edge/", "mezu:///edg_" + id26, "mezu:edge/edg_" + id26, "MEZU://EDGE/edg_" + id26, "https://edge/edg_" + id26,
		"mezu://control/edg_" + id26, "mezu://edge/ctl_" + id26, "mezu://warpgate/wgt_" + id26, "mezu://operator/edg_" + id26,
		edge + "/", edge + "/x", edge + "?", edge + "?a=b", edge + "#f", strings.Replace(edge, "//", "//user@", 1), strings.Replace(edge, "edge/", "edge:1/", 1),
		strings.Replace(edge, "edge/", "edge//", 1), strings.Replace(edge, "edg_", "%65dg_", 1), edge[:len(edge)-2] + "%0A%0A", edge[:len(edge)-1], strings.ToUpper(edge),
		strings.Replace(warpgate, "/warpgate/", "/edge/", 1), strings.Replace(warpgate, "prj_", "env_", 1), strings.Replace(warpgate, "org_", "prj_", 1), warpgate + "/", "mezu://" + warpgate,
	} {
		u, err := url.Parse(s)
		if err != nil {
			continue
		}
		if id, err := mezu.ParseIdentity(u); err == nil {
			t.Errorf("%q reads as %+v", s, id)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, id := range peers {
		f.Add(id.String())
	}
	f.Add("mezu://edge/edg_%0A")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		id, err := mezu.ParseIdentity(u)
		if err != nil {
			return
		}
		if id.String() != u.String() || strings.ContainsAny(id.String(), "%\r\n?#@") {
			t.Fatalf("%q reads as %+v", s, id)
		}
	})
}
