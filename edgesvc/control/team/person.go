package team

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// makePerson adds a new person to a change. A taken address is a conflict.
func (s *Team) makePerson(ctx context.Context, ch *record.Change, email string, operator bool) (access.Person, error) {
	p := access.Person{Meta: s.records.Meta(mezu.PrefixPerson), Email: mezu.CanonicalEmail(email), Operator: operator}
	if operator {
		if _, err := s.appoint(ctx, ch, p); err != nil {
			return p, err
		}
	}
	if p.Email != "" {
		taken, err := s.personByAddress(ctx, p.Email)
		if err != nil {
			return p, err
		}
		if taken != "" {
			return p, &mezu.Error{Code: mezu.CodeConflict, Field: "email", Detail: "somebody has this address already", Hint: "use that person's own token"}
		}
		ch.Create(s.keyAddress(p.Email), p.ID)
	}
	ch.Create(access.KeyPerson(p.ID), p)
	return p, nil
}

// purposeAddresses derives the key of the index of persons' addresses.
const purposeAddresses = "addresses of persons"

// addressHash stands for a mail address in a key of the store: keyed (HMAC-SHA-256),
// so that whoever reads keys can't guess addresses.
func (s *Team) addressHash(email string) string {
	h := hmac.New(sha256.New, s.records.Store.Derive(purposeAddresses))
	h.Write([]byte(mezu.CanonicalEmail(email)))
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Team) keyAddress(email string) string { return prefixAddress + s.addressHash(email) }

// personByAddress gives the id of the person who has an address, or none.
func (s *Team) personByAddress(ctx context.Context, email string) (string, error) {
	id, err := record.Optional[string](ctx, s.records, s.keyAddress(email))
	return id.Value, err
}

// personID finds the person whom a path names by id or address; empty if there is none.
func (s *Team) personID(ctx context.Context, ref string) (string, error) {
	if strings.Contains(ref, "@") {
		return s.personByAddress(ctx, ref)
	}
	if record.IsID(ref) { // persons of an old installation have ids of another prefix
		return ref, nil
	}
	return "", nil
}

// address is a person's address, or empty.
func (s *Team) address(ctx context.Context, id string) (string, error) {
	who, err := record.Optional[access.Person](ctx, s.records, access.KeyPerson(id))
	return who.Value.Email, err
}
