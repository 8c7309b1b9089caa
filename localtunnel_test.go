package mezu_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// goodTunnel is a tunnel that may be asked for.
func goodTunnel() mezu.TunnelSpec {
	return mezu.TunnelSpec{Profile: "acme", API: "https://control.example.com", Organization: "acme", Project: "shop", Environment: "dev-ada",
		TunnelTarget: mezu.TunnelTarget{Target: "5173"}}
}

func TestTunnelSpec(t *testing.T) {
	folder, _ := filepath.Abs(t.TempDir())
	for name, c := range map[string]struct {
		change func(*mezu.TunnelSpec)
		field  string // of the refusal; empty if there is none
	}{
		"as it is":         {func(*mezu.TunnelSpec) {}, ""},
		"no profile":       {func(s *mezu.TunnelSpec) { s.Profile = "" }, "profile"},
		"no control plane": {func(s *mezu.TunnelSpec) { s.API = "" }, "api"},
		"a long address":   {func(s *mezu.TunnelSpec) { s.API = "https://" + strings.Repeat("x", mezu.MaxTunnelPath) }, "api"},
		"a long zone":      {func(s *mezu.TunnelSpec) { s.Target = "[fe80::1%" + strings.Repeat("x", mezu.MaxTunnelTarget) + "]:80" }, "target"},
		"a long zone beside": {func(s *mezu.TunnelSpec) {
			s.AllowTargets = []string{"[fe80::1%" + strings.Repeat("x", mezu.MaxTunnelTarget) + "]:80"}
		}, "allow_targets"},
		"a relative CA":      {func(s *mezu.TunnelSpec) { s.CAFile = "ca.pem" }, "ca_file"},
		"a folder":           {func(s *mezu.TunnelSpec) { s.Target, s.SPA = folder, true }, ""},
		"a long folder":      {func(s *mezu.TunnelSpec) { s.Target = folder + strings.Repeat("/x", mezu.MaxTunnelPath) }, "target"},
		"a listing of ports": {func(s *mezu.TunnelSpec) { s.Listing = true }, "target"},
		"capture only": {func(s *mezu.TunnelSpec) {
			s.Target, s.Capture = mezu.TargetCapture, &mezu.TunnelCapture{Status: 202, MediaType: "text/plain", Body: []byte("ok")}
		}, ""},
		"capture by default":          {func(s *mezu.TunnelSpec) { s.Target = mezu.TargetCapture }, ""},
		"an answer beside a workload": {func(s *mezu.TunnelSpec) { s.Capture = &mezu.TunnelCapture{} }, "capture"},
		"an interim answer":           {func(s *mezu.TunnelSpec) { s.Target, s.Capture = mezu.TargetCapture, &mezu.TunnelCapture{Status: 101} }, "capture.status"},
		"an answer that is too long": {func(s *mezu.TunnelSpec) {
			s.Target, s.Capture = mezu.TargetCapture, &mezu.TunnelCapture{Body: make([]byte, mezu.MaxCaptureBody+1)}
		}, "capture.body"},
		"an answer 204 with a body": {func(s *mezu.TunnelSpec) {
			s.Target, s.Capture = mezu.TargetCapture, &mezu.TunnelCapture{Status: 204, Body: []byte("x")}
		}, "capture.body"},
		"an answer of no type": {func(s *mezu.TunnelSpec) {
			s.Target, s.Capture = mezu.TargetCapture, &mezu.TunnelCapture{MediaType: "/"}
		}, "capture.media_type"},
		"a capture of a folder": {func(s *mezu.TunnelSpec) { s.Target, s.SPA = mezu.TargetCapture, true }, "target"},
		"no target":             {func(s *mezu.TunnelSpec) { s.Target = "" }, "target"},
		"many targets":          {func(s *mezu.TunnelSpec) { s.AllowTargets = slices.Repeat([]string{"80"}, mezu.MaxTunnelTargets+1) }, "allow_targets"},
		"no further target":     {func(s *mezu.TunnelSpec) { s.AllowTargets = []string{"ftp://x:1"} }, "allow_targets"},
		"host":                  {func(s *mezu.TunnelSpec) { s.HostHeader = "shop.test:8080" }, ""},
		"host of IPv6":          {func(s *mezu.TunnelSpec) { s.HostHeader = "[::1]:8080" }, ""},
		"two lines of host":     {func(s *mezu.TunnelSpec) { s.HostHeader = "shop\r\nX: y" }, "host_header"},
		"insecure with a CA":    {func(s *mezu.TunnelSpec) { s.Insecure, s.UpstreamCA = true, folder }, "insecure_upstream"},
		"a colon in a user":     {func(s *mezu.TunnelSpec) { s.BasicAuth = &mezu.TunnelPassword{User: "a:b"} }, "basic_auth.user"},
		"a short salt": {func(s *mezu.TunnelSpec) {
			s.BasicAuth = &mezu.TunnelPassword{User: "a", Hash: make([]byte, 32), Iterations: 200_000}
		}, "basic_auth"},
		"few rounds": {func(s *mezu.TunnelSpec) {
			s.BasicAuth = &mezu.TunnelPassword{User: "a", Salt: make([]byte, 16), Hash: make([]byte, 32), Iterations: 1}
		}, "basic_auth"},
		"a password": {func(s *mezu.TunnelSpec) {
			s.BasicAuth = &mezu.TunnelPassword{User: "a", Salt: make([]byte, 16), Hash: make([]byte, 32), Iterations: 200_000}
		}, ""},
	} {
		s := goodTunnel()
		c.change(&s)
		err := s.Validate()
		field := ""
		if e, ok := err.(*mezu.Error); ok {
			field = e.Field
		}
		if field != c.field || (err == nil) != (c.field == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
