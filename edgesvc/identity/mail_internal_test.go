package identity

import (
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/mezusphere/mezu"
)

func TestNormalizeMail(t *testing.T) {
	for in, want := range map[string]string{
		"ann@example.com": "ann@example.com", "ANN@Example.COM": "ann@example.com", "Rene\u0301@example.com": "ren\u00e9@example.com",
		"a.b+c@example.com": "a.b+c@example.com", "\u212bngstrom@example.com": "\u00e5ngstrom@example.com", "o\u0308@B\u00dcCHER.example": "\u00f6@b\u00fccher.example",
		"I\u0307@a": "i\u0307@a", "\u0130@a": "i\u0307@a", "I@a": "i@a",
		"a@xn--bcher-kva.example": "a@xn--bcher-kva.example", "": "",
	} {
		if got := NormalizeMail(in); got != want {
			t.Errorf("%q becomes %q, not %q", in, got, want)
		}
	}
}

func asciiUpper(r rune) rune {
	if 'a' <= r && r <= 'z' {
		r += 'A' - 'a'
	}
	return r
}

// Whatever is valid has one form, which is valid UTF-8, its own form, and the same for
// all cases and compositions of it.
func FuzzNormalizeMail(f *testing.F) {
	for _, seed := range []string{"ann@example.com", "Rene\u0301@EXAMPLE.com", "\u0130@example.com", "\u212a@\u2126.example", "\u1e9e\u0323\u0307@a", "\uac00\u11a8@b", "\xff@a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if mezu.ValidateEmail("email", address) != nil {
			return
		}
		once := NormalizeMail(address)
		if again := NormalizeMail(once); again != once {
			t.Fatalf("%q becomes %q, and then %q", address, once, again)
		}
		if strings.ToValidUTF8(once, "") != once || strings.ContainsAny(once, " \x00/") && !strings.ContainsAny(address, "/") {
			t.Fatalf("%q becomes %q", address, once)
		}
		for _, same := range []string{norm.NFC.String(address), norm.NFD.String(address), strings.Map(asciiUpper, address)} {
			if other := NormalizeMail(same); other != once {
				t.Fatalf("%q becomes %q, but %q becomes %q", address, once, same, other)
			}
		}
		if strings.Count(once, "@") != strings.Count(address, "@") {
			t.Fatalf("%q becomes %q", address, once)
		}
	})
}
