package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What a signature of a release is about. install.sh and mezu update ask for the same.
const (
	signer    = "release@mezusphere"
	namespace = "mezu-release"
)

// signersName is the file of those who may sign, as ssh-keygen(1) has it, and signersPath where
// the sources have it: mezu update carries it.
const (
	signersName = "allowed_signers"
	signersPath = "cli/update/" + signersName
)

// keyVariable is the name under which goreleaser.yaml has the key's file.
const keyVariable = "MEZU_SIGNING_KEY"

// sign has SHA256SUMS signed as goreleaser.yaml says, writes who may sign and looks whether
// what was signed is believed.
func (s *snapshot) sign(ctx context.Context) error {
	if s.key == "" {
		s.say("nothing is signed: there is no --key")
		return nil
	}
	sums := s.config.Checksum.NameTemplate
	for _, conf := range s.config.Signs {
		args, err := s.fields.with(fields{"Env": map[string]string{keyVariable: s.key}}).all(conf.Args)
		if err != nil {
			return err
		}
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "${artifact}", sums)
		}
		cmd := exec.CommandContext(ctx, conf.Cmd, args...)
		// A passphrase is asked for, and so is a touch of a token.
		cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dist, os.Stdin, s.stderr, s.stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		}
		if err := s.allowSigner(ctx); err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(s.dist, sums))
		if err != nil {
			return err
		}
		verify := exec.CommandContext(ctx, "ssh-keygen", "-Y", "verify", "-f", signersName, "-I", signer, "-n", namespace,
			"-s", strings.ReplaceAll(conf.Signature, "${artifact}", sums))
		verify.Dir, verify.Stdin = s.dist, bytes.NewReader(data)
		if _, err := output(verify); err != nil {
			return err
		}
	}
	return nil
}

// allowSigner writes the key that has signed among those who may, into dist alone. A
// release is only made with a key that the sources name: nobody could verify another.
func (s *snapshot) allowSigner(ctx context.Context) error {
	public, err := publicKey(ctx, s.key)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dist, signersName)
	known, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(known)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") && strings.Contains(line, public) {
			return nil
		}
	}
	if s.commit.here && s.version == strings.TrimPrefix(s.commit.tag, "v") {
		return fmt.Errorf("the key of %s is not in %s of %s: nobody would believe its signature", s.key, signersPath, s.commit.tag)
	}
	return writeFile(path, fmt.Appendf(nil, "%s namespaces=%q %s\n", signer, namespace, public))
}

// publicKey is type and key of a file with a private key, or with the public key whose
// private one an agent or a token has.
func publicKey(ctx context.Context, path string) (string, error) {
	var text []byte
	var err error
	for _, name := range []string{path + ".pub", path} {
		if text, err = os.ReadFile(name); err == nil {
			break
		}
	}
	if err != nil {
		return "", err
	}
	if bytes.HasPrefix(text, []byte("-----BEGIN")) {
		cmd := exec.CommandContext(ctx, "ssh-keygen", "-y", "-f", path)
		cmd.Stdin = os.Stdin
		if text, err = output(cmd); err != nil {
			return "", err
		}
	}
	part := strings.Fields(string(text))
	if len(part) < 2 {
		return "", fmt.Errorf("%s holds no key", path)
	}
	return part[0] + " " + part[1], nil
}

// digest is the SHA-256 of a file in hexadecimal.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
