package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// verified reports whether ssh-keygen believes the signature of a release's SHA256SUMS.
func verified(t *testing.T, signers, who, about, signature string, text []byte) bool {
	t.Helper()
	cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", signers, "-I", who, "-n", about, "-s", signature)
	cmd.Stdin = strings.NewReader(string(text))
	return cmd.Run() == nil
}

// TestC6_SignatureOfARelease: ssh-keygen believes it, of this signer, for this use and of
// this text alone.
func TestC6_SignatureOfARelease(t *testing.T) {
	t.Parallel()
	dist := madeRelease(t)
	signers, signature := filepath.Join(dist, signersName), filepath.Join(dist, "SHA256SUMS.sig")
	text, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if !verified(t, signers, signer, namespace, signature, text) {
		t.Fatal("the signature is not believed")
	}
	for name, ok := range map[string]bool{
		"another text":   verified(t, signers, signer, namespace, signature, append(text, '\n')),
		"another use":    verified(t, signers, signer, "file", signature, text),
		"another signer": verified(t, signers, "somebody@else", namespace, signature, text),
		"the signers of the sources, among whom a thrown away key is not": verified(t, "../"+signersPath, signer, namespace, signature, text),
	} {
		if ok {
			t.Errorf("%s: it is believed", name)
		}
	}
}

// TestC6_ReleaseNeedsAKnownKey: what nobody could verify is not released, though a snapshot
// may have any key.
func TestC6_ReleaseNeedsAKnownKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	runTool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public, err := publicKey(t.Context(), key)
	if err != nil || !strings.HasPrefix(public, "ssh-ed25519 AAAA") {
		t.Fatalf("the public key is %q, %v", public, err)
	}
	// A private key alone, and a public one alone, whose private one an agent has.
	alone := filepath.Join(dir, "alone")
	data, err := os.ReadFile(key)
	if err == nil {
		err = os.WriteFile(alone, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{alone, key + ".pub"} {
		if got, err := publicKey(t.Context(), path); got != public {
			t.Errorf("of %s it is %q, %v", filepath.Base(path), got, err)
		}
	}
	known := signer + ` namespaces="` + namespace + `" ` + public + "\n"
	for name, c := range map[string]struct {
		signers string
		here    bool
		ok      bool
	}{
		"a release by a known key":        {known, true, true},
		"a release by another":            {"# none\n", true, false},
		"a release by a key of a comment": {"# " + known, true, false},
		"a snapshot by a known key":       {known, false, true},
		"a snapshot by whatever key":      {"# none\n", false, true},
		"a release, beside other lines":   {"# one\n" + known, true, true},
	} {
		s := snapshot{dist: t.TempDir(), key: key, version: "1.0.0", commit: commit{tag: "v1.0.0", here: c.here, at: time.Unix(0, 0)}}
		path := filepath.Join(s.dist, signersName)
		if err := os.WriteFile(path, []byte(c.signers), 0o600); err != nil {
			t.Fatal(err)
		}
		err := s.allowSigner(t.Context())
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(path); c.ok && !strings.Contains("\n"+string(got), "\n"+known) {
			t.Errorf("%s: the signers are %q", name, got)
		}
	}
}

// TestAllowedSigners: the file of the sources is one that ssh-keygen reads, and says
// openly while there is no key.
func TestAllowedSigners(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../" + signersPath)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		if !strings.HasPrefix(line, signer+` namespaces="`+namespace+`" ssh-`) && !strings.HasPrefix(line, signer+` namespaces="`+namespace+`" sk-ssh-`) {
			t.Errorf("%q is not about releases alone", line)
		}
	}
	if lines == 0 && !strings.Contains(string(data), "no key of one") {
		t.Error("there is no key, and nothing says so")
	}
}
