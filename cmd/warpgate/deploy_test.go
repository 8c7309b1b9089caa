package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/daemon/warpgate"
)

// TestDeploy: the arguments in the manifests are ones that this program takes. tools/deploy holds the
// files against the types of Kubernetes and Compose.
func TestDeploy(t *testing.T) {
	for _, path := range []string{"compose.yaml", "kubernetes/sidecar.yaml", "kubernetes/warpgate.yaml"} {
		text, err := os.ReadFile("../../deploy/" + path)
		if err != nil {
			t.Fatal(err)
		}
		var args []string
		for _, m := range regexp.MustCompile(`(?m)^ +- (--\S+=\S.*)$`).FindAllStringSubmatch(string(text), -1) {
			args = append(args, strings.Replace(m[1], "${MEZU_API:?the address of the control plane}", "https://control.example.com:7443", 1))
		}
		o, err := parse(args, environment())
		if err != nil || o.api == "" || o.tokenFile == "" || o.state != "/var/lib/warpgate" || o.health != ":8081" {
			t.Errorf("%s: %q: %+v, %v", path, args, o, err)
		}
	}
	if warpgate.DrainTimeout.Seconds() != 30 {
		t.Error("the manifests wait for a drain of 30 seconds")
	}
}
