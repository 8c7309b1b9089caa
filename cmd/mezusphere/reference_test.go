package main

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/manual"
	"github.com/mezusphere/mezu/testkit"
)

// What is committed of the reference and the manual is what the program's help says.
func TestReference(t *testing.T) {
	var topics []manual.Topic
	for _, role := range []string{roleControl, roleEdge, roleAll} {
		code, out, talk := mezusphere(nil, role, "--help")
		_, flags, ok := strings.Cut(out, "Flags:\n")
		if code != 0 || !ok {
			t.Fatalf("mezusphere %s --help: code %d, %s%s", role, code, out, talk)
		}
		topics = append(topics, manual.Topic{Title: "Flags of mezusphere " + role, Text: flags})
	}
	for _, command := range []string{"check", "join-token", "audit", "keys", "backup", roleRestore, "operator"} {
		code, out, talk := mezusphere(nil, command, "--help")
		_, page, ok := strings.Cut(out, "\n\n")
		if code != 0 || !ok {
			t.Fatalf("mezusphere %s --help: code %d, %s%s", command, code, out, talk)
		}
		topics = append(topics, manual.Topic{Title: "mezusphere " + command, Text: page})
	}
	testkit.Written(t, "../../docs/reference", "mezusphere*", map[string]string{"mezusphere.md": manual.MarkdownOfText(usage, topics)})
	testkit.Written(t, "../../docs/man", "mezusphere*", map[string]string{"mezusphere.1": manual.ManOfText(usage, topics)})
}
