package access

import (
	"encoding/json"
	"strings"

	"github.com/mezusphere/mezu"
)

// Keys of records that decide who may do what.
const (
	PrefixOrganization = "org/"
	prefixToken        = "token/"
	prefixTokens       = "tokens/" // by person
	PrefixOperator     = "operator/"
	prefixPerson       = "person/"
	PrefixAccount      = "sva/"
	// PrefixPrograms is where lies what is kept of logins of programs, most of which is
	// package oauth's. PrefixFamilies has them by person.
	PrefixPrograms = "oauth/"
	PrefixFamilies = PrefixPrograms + "person/"
)

// Keys of one record, and with Of the prefix of those below a parent. A parent is named by its
// id.
func KeyOrganization(name string) string   { return PrefixOrganization + name }
func ProjectsOf(org string) string         { return "prj/" + org + "/" }
func EnvironmentsOf(project string) string { return "env/" + project + "/" }
func DirectoriesOf(owner string) string    { return "dir/" + owner + "/" }
func AccountsOf(project string) string     { return PrefixAccount + project + "/" }
func MembersOf(org string) string          { return "member/" + org + "/" }
func KeyMember(org, person string) string  { return MembersOf(org) + person }
func KeyPerson(id string) string           { return prefixPerson + id }
func KeyOperator(person string) string     { return PrefixOperator + person }
func TokensOf(person string) string        { return prefixTokens + person + "/" }
func KeyFamilies(person string) string     { return PrefixFamilies + person }
func KeyToken(hash string) string          { return prefixToken + hash }

// EndsWithRestore reports whether a record is a single-use token, or of a program's login,
// which a restore leaves out: what was ended or used after the backup must not live again.
func EndsWithRestore(key string, value []byte) bool {
	if strings.HasPrefix(key, PrefixPrograms) {
		return true
	}
	if !strings.HasPrefix(key, prefixToken) {
		return false
	}
	var t Token
	return json.Unmarshal(value, &t) != nil || t.Kind != mezu.TokenBearer || t.Family != ""
}
