package sshsig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/mezusphere/mezu/testkit"
)

const namespace = "mezu-release"

// keygen runs ssh-keygen.
func keygen(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v, %s", args, err, out)
	}
}

// signed is a message with what ssh-keygen makes of it.
type signed struct {
	message, signature []byte
	public             string
}

// sign makes a key of a kind and signs a message by it, for a namespace.
func sign(t *testing.T, message, namespace string, kind ...string) signed {
	t.Helper()
	testkit.Programs(t, "ssh-keygen")
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "message")
	keygen(t, append([]string{"-q", "-N", "", "-C", "", "-f", key, "-t"}, kind...)...)
	if err := os.WriteFile(file, []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	keygen(t, "-q", "-Y", "sign", "-f", key, "-n", namespace, file)
	out := signed{message: []byte(message)}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	out.public = strings.TrimSpace(string(public))
	if out.signature, err = os.ReadFile(file + ".sig"); err != nil {
		t.Fatal(err)
	}
	return out
}

func signers(t testing.TB, lines ...string) Signers {
	t.Helper()
	s, err := ParseSigners([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What OpenSSH signs by each kind of key is checked, as it stands and nothing else.
func TestVerify(t *testing.T) {
	for _, kind := range [][]string{{"ed25519"}, {"ecdsa", "-b", "256"}, {"ecdsa", "-b", "384"}, {"rsa", "-b", "2048"}} {
		t.Run(strings.Join(kind, " "), func(t *testing.T) {
			s := sign(t, "what is released\n", namespace, kind...)
			by := signers(t, "# keys", "", `release@example.com namespaces="`+namespace+`" `+s.public)
			if err := by.Verify(s.message, s.signature, namespace); err != nil {
				t.Fatal(err)
			}
			if err := by.Verify(append(s.message, '\n'), s.signature, namespace); err == nil {
				t.Error("another message is taken")
			}
			if err := by.Verify(s.message, s.signature, "file"); err == nil {
				t.Error("another namespace is taken")
			}
		})
	}
}

// C6: a signature counts if a key of the list made it, for what that key may sign.
func TestC6_WrongSigner(t *testing.T) {
	s, other := sign(t, "text", namespace, "ed25519"), sign(t, "text", "file", "ed25519")
	for name, c := range map[string]struct {
		list      string
		signature []byte
	}{
		"nobody":                   {"", s.signature},
		"another key":              {"x " + other.public, s.signature},
		"by another key":           {"x " + s.public, other.signature},
		"for another namespace":    {"x " + other.public, other.signature},
		"a key for something else": {`x namespaces="git,file" ` + s.public, s.signature},
	} {
		if err := signers(t, c.list).Verify(s.message, c.signature, namespace); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if err := signers(t).Verify(s.message, s.signature, namespace); !errors.Is(err, errNoSigner) {
		t.Error(err)
	}
	for _, list := range []string{"x " + s.public, `a,b namespaces="git,mezu-*" ` + s.public + " comment", `"a b" ` + s.public, "x " + other.public + "\ny " + s.public} {
		if err := signers(t, list).Verify(s.message, s.signature, namespace); err != nil {
			t.Errorf("%s: %v", list, err)
		}
	}
}

// C6: a signature of which a byte is another one is none, wherever the byte is.
func TestC6_DamagedSignature(t *testing.T) {
	s := sign(t, "text", namespace, "ed25519")
	by := signers(t, "x "+s.public)
	block, _ := pem.Decode(s.signature)
	for i := range block.Bytes {
		damaged := bytes.Clone(block.Bytes)
		damaged[i] ^= 1
		if err := by.Verify(s.message, pem.EncodeToMemory(&pem.Block{Type: armour, Bytes: damaged}), namespace); err == nil {
			t.Errorf("byte %d may be any", i)
		}
		if err := by.Verify(s.message, pem.EncodeToMemory(&pem.Block{Type: armour, Bytes: block.Bytes[:i]}), namespace); err == nil {
			t.Errorf("%d bytes are enough", i)
		}
	}
	for name, text := range map[string]string{
		"more behind": string(s.signature) + "x", "more before": "x\n" + string(s.signature), "two": string(s.signature) + string(s.signature),
		"nothing": "", "no armour": string(block.Bytes), "long": strings.Repeat("\n", MaxSignature+1),
		"another kind": strings.ReplaceAll(string(s.signature), armour, "CERTIFICATE"),
		"with a field": string(pem.EncodeToMemory(&pem.Block{Type: armour, Bytes: block.Bytes, Headers: map[string]string{"A": "b"}})),
		"more inside":  string(pem.EncodeToMemory(&pem.Block{Type: armour, Bytes: append(bytes.Clone(block.Bytes), 0)})),
	} {
		if err := by.Verify(s.message, []byte(text), namespace); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// C6: SHA-1 is no hash for a signature, and a short RSA key no key.
func TestC6_WeakSignature(t *testing.T) {
	s := sign(t, "text", namespace, "rsa", "-b", "2048")
	sig, err := parse(s.signature)
	if err != nil {
		t.Fatal(err)
	}
	sha1 := *sig
	sha1.of.Format = ssh.KeyAlgoRSA
	md5 := *sig
	md5.hash = "md5"
	for name, weak := range map[string]signature{"SHA-1": sha1, "another hash": md5} {
		if err := weak.verify(s.message); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	testkit.Programs(t, "ssh-keygen")
	short := sign(t, "text", namespace, "rsa", "-b", "1024")
	if err := signers(t, "x "+short.public).Verify(short.message, short.signature, namespace); err == nil {
		t.Error("a key of 1024 bits is taken")
	}
}

// A list whose restrictions are not understood is refused.
func TestParseSigners_Refuses(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	for _, list := range []string{
		"x", "x ssh-ed25519", "x ssh-ed25519 AAAA", "x cert-authority " + line, `x valid-before="20200101" ` + line,
		`x namespaces="a",namespaces="b" ` + line, `x namespaces="[a" ` + line, `x namespaces="!a" ` + line,
		strings.Repeat("#\n", MaxSigners), "x no-such " + line, line, `"x ` + line,
	} {
		if s, err := ParseSigners([]byte(list)); err == nil {
			t.Errorf("%.60q gives %d signers", list, len(s))
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n"), []byte("x ssh-ed25519 AAAA"))
	f.Fuzz(func(t *testing.T, signature, list []byte) {
		s, err := ParseSigners(list)
		if err == nil && s.Verify([]byte("never signed by anybody"), signature, namespace) == nil {
			t.Error("a message that nobody signed is taken")
		}
	})
}

// A key in a hardware token signs with a counter and whether it was touched. ssh-keygen and this
// package read the same of it.
func TestVerify_HardwareKey(t *testing.T) {
	testkit.Programs(t, "ssh-keygen")
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	const kind, application, hash = "sk-ssh-ed25519@openssh.com", "ssh:", "sha512"
	key := ssh.Marshal(struct {
		Kind        string
		Key         []byte
		Application string
	}{kind, public, application})
	message := []byte("what is released\n")
	sum := sha512.Sum512(message)
	inner := append([]byte(magic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{namespace, "", hash, string(sum[:])})...)
	of, data := sha256.Sum256([]byte(application)), sha256.Sum256(inner)
	touched := []byte{1, 0, 0, 0, 7} // flags, and the counter
	blob := ssh.Marshal(struct {
		Kind string
		Blob []byte
		Rest []byte `ssh:"rest"`
	}{kind, ed25519.Sign(private, append(append(of[:], touched...), data[:]...)), touched})
	armoured := pem.EncodeToMemory(&pem.Block{Type: armour, Bytes: append([]byte(magic), ssh.Marshal(struct {
		Version                        uint32
		Key, Namespace, Reserved, Hash string
		Signature                      string
	}{sigVersion, string(key), namespace, "", hash, string(blob)})...)})
	parsed, err := ssh.ParsePublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	list := "token@example.com " + string(ssh.MarshalAuthorizedKey(parsed))
	if err := signers(t, list).Verify(message, armoured, namespace); err != nil {
		t.Error(err)
	}
	if err := signers(t, list).Verify(append(message, 'x'), armoured, namespace); err == nil {
		t.Error("another message is taken")
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"list": []byte(list), "sig": armoured} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", filepath.Join(dir, "list"), "-I", "token@example.com", "-n", namespace, "-s", filepath.Join(dir, "sig"))
	cmd.Stdin = bytes.NewReader(message)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("ssh-keygen: %v, %s", err, out)
	}
}
