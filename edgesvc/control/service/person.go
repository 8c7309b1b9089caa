package service

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/mezusphere/mezu"
)

// makePerson adds a new person to a change. A taken address is a conflict.
func (s *Team) makePerson(ctx context.Context, ch *change, email string, operator bool) (person, error) {
	p := person{Meta: s.records.meta(mezu.PrefixPerson), Email: mezu.CanonicalEmail(email), Operator: operator}
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
		ch.create(s.keyAddress(p.Email), p.ID)
	}
	ch.create(keyPerson(p.ID), p)
	return p, nil
}

// purposeAddresses derives the key of the index of persons' addresses.
const purposeAddresses = "addresses of persons"

// addressHash stands for a mail address in a key of the store: keyed (HMAC-SHA-256),
// so that whoever reads keys can't guess addresses.
func (s *Team) addressHash(email string) string {
	h := hmac.New(sha256.New, s.records.store.Derive(purposeAddresses))
	h.Write([]byte(mezu.CanonicalEmail(email)))
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Team) keyAddress(email string) string { return prefixAddress + s.addressHash(email) }

// personByAddress gives the id of the person who has an address, or none.
func (s *Team) personByAddress(ctx context.Context, email string) (string, error) {
	id, err := optional[string](ctx, s.records, s.keyAddress(email))
	return id.Value, err
}

// personID finds whom a path names, by id or address; it is empty for nobody.
func (s *Team) personID(ctx context.Context, ref string) (string, error) {
	if strings.Contains(ref, "@") {
		return s.personByAddress(ctx, ref)
	}
	if isID(ref) { // persons of an old installation have ids of another prefix
		return ref, nil
	}
	return "", nil
}

// address is a person's, or empty.
func (s *Team) address(ctx context.Context, id string) (string, error) {
	who, err := optional[person](ctx, s.records, keyPerson(id))
	return who.Value.Email, err
}
