package service

import (
	"encoding/json"
	"strings"

	"github.com/mezusphere/mezu"
)

// Keys of what decides who may do what.
const (
	prefixOrganization = "org/"
	prefixToken        = "token/"
	prefixTokens       = "tokens/" // by person
	prefixOperator     = "operator/"
	prefixPerson       = "person/"
	prefixAccount      = "sva/"
)

func keyOrganization(name string) string   { return prefixOrganization + name }
func projectsOf(org string) string         { return "prj/" + org + "/" }
func environmentsOf(project string) string { return "env/" + project + "/" }
func directoriesOf(owner string) string    { return "dir/" + owner + "/" }
func accountsOf(project string) string     { return prefixAccount + project + "/" }
func membersOf(org string) string          { return "member/" + org + "/" }
func keyMember(org, person string) string  { return membersOf(org) + person }
func keyPerson(id string) string           { return prefixPerson + id }
func keyOperator(person string) string     { return prefixOperator + person }
func tokensOf(person string) string        { return prefixTokens + person + "/" }
func keyToken(hash string) string          { return prefixToken + hash }

// tokenEnds reports whether a record is a token that works once, which ends with a
// restore.
func tokenEnds(key string, value []byte) bool {
	if !strings.HasPrefix(key, prefixToken) {
		return false
	}
	var t tokenRecord
	return json.Unmarshal(value, &t) != nil || t.Kind != mezu.TokenBearer
}
