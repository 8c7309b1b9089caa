package mezu_test

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

func TestK1_Keys(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		key := mezu.NewKey()
		if len(key) != 50 || seen[key] {
			t.Fatalf("key %q", key)
		}
		seen[key] = true
		accepted(t, key, mezu.ValidateKey(key))
	}
	key := mezu.NewKey()
	for i := range key { // every single mistyped character is noticed
		other := byte('0')
		if key[i] == other {
			other = '1'
		}
		bad := key[:i] + string(other) + key[i+1:]
		if mezu.CodeOf(mezu.ValidateKey(bad)) != mezu.CodeUnauthenticated {
			t.Errorf("mistyped at %d: accepted", i)
		}
	}
	for _, bad := range []string{"", key[:49], key + "0", key + "\n", " " + key[1:], key[:20] + "-" + key[21:], key[:48] + "é", strings.Repeat("-", 50)} {
		if mezu.CodeOf(mezu.ValidateKey(bad)) != mezu.CodeUnauthenticated {
			t.Errorf("%q accepted", bad)
		}
	}
	// The checksum is part of what scanners know: CRC-32 of the first 44.
	const known = "00000000000000000000000000000000000000000000"
	accepted(t, "known", mezu.ValidateKey(known+"2WHHss"))
}

func TestServiceAccount_Validate(t *testing.T) {
	good := mezu.ServiceAccount{Name: "ci", Permissions: []mezu.Permission{mezu.PermWarpgateRegister, mezu.PermRoutesRead}, Environment: "staging"}
	accepted(t, "good", good.Validate())
	for field, change := range map[string]func(*mezu.ServiceAccount){
		"name":        func(s *mezu.ServiceAccount) { s.Name = "CI" },
		"environment": func(s *mezu.ServiceAccount) { s.Environment = "a b" },
		"permissions": func(s *mezu.ServiceAccount) { s.Permissions = nil },
	} {
		s := good
		change(&s)
		refused(t, field, s.Validate(), field)
	}
	for _, p := range []mezu.Permission{"", "*", mezu.PermOrganizationsWrite, mezu.PermEdgesWrite, mezu.PermServiceAccountsWrite, mezu.PermWarpgateRegister} {
		s := good
		s.Permissions = []mezu.Permission{mezu.PermWarpgateRegister, p}
		refused(t, string(p), s.Validate(), "permissions")
	}
}
