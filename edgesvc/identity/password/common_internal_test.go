package password

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// TestRecordCommon writes common.txt anew, from the file that MEZU_PASSWORDS names: the
// src/passwords.json of "npm pack @zxcvbn-ts/language-common".
func TestRecordCommon(t *testing.T) {
	from := os.Getenv("MEZU_PASSWORDS")
	if from == "" {
		t.Skip("MEZU_PASSWORDS names no list")
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	for i, s := range list {
		list[i] = fold(norm.NFKC.String(s))
	}
	slices.Sort(list)
	out := strings.Join(slices.Compact(list), "\n") + "\n"
	if err := os.WriteFile("common.txt", []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The list is as the look-up wants it, long enough, and everything on it is found.
func TestL12_ListOfCommonOnes(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(common, "\n"), "\n")
	if len(lines) < 30_000 {
		t.Errorf("the list has %d passwords", len(lines))
	}
	longest := 0
	for i, s := range lines {
		longest = max(longest, len(s))
		if s == "" || s != fold(norm.NFKC.String(s)) || i > 0 && lines[i-1] >= s {
			t.Fatalf("line %d, %q, is not folded, or not in order", i+1, s)
		}
		if !isListed(s) {
			t.Fatalf("%q is not found", s)
		}
		if _, other := slices.BinarySearch(lines, s+"x"); isListed(s+"x") != other {
			t.Fatalf("%q is found, or not, by mistake", s+"x")
		}
	}
	if longest != maxCommon {
		t.Errorf("the longest has %d bytes; maxCommon is %d", longest, maxCommon)
	}
	for _, s := range []string{"", "\n", "123456\n", "123456\n1234567", "!", "~~~~", "123456 "} {
		if isListed(s) {
			t.Errorf("%q is found", s)
		}
	}
}
