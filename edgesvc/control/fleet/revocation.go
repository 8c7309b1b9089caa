package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// keyIssued counts the certificates of an organization's Warpgates by the day.
func keyIssued(organization string) string { return "issued/" + organization }

// revoke adds revocations of certificates to a change: of an environment's Warpgates, or of
// edges if the environment is empty.
func (s *Fleet) revoke(ch *record.Change, environment string, certificates []Certificate) {
	now := s.records.Now()
	scope := environment
	if scope == "" {
		scope = ofEdges
	}
	for _, cert := range certificates {
		if now.After(cert.NotAfter) {
			continue
		}
		r := mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: cert.Serial, Scope: environment, Until: cert.NotAfter}
		s.records.AddRevocation(ch, record.KeyRevocation(r.Kind, scope, cert.Serial), r)
	}
}

// issued is how many certificates an organization's Warpgates got on each day. Days are
// counted from 1970.
type issued map[string]int

// issueDays is on how many days a certificate that is still valid can have been issued: a
// certificate's life, and the present day.
const issueDays = int64(mezu.LeafLife/(24*time.Hour)) + 1

// countCertificate counts one more certificate of an organization's Warpgates, or refuses
// it. Each that was issued may have to be revoked. Bounding them here bounds revocations
// without ever refusing one.
func (s *Fleet) countCertificate(ctx context.Context, ch *record.Change, organization string) error {
	rec, err := record.Optional[issued](ctx, s.records, keyIssued(organization))
	if err != nil {
		return err
	}
	today := s.records.Now().Unix() / int64(24*time.Hour/time.Second)
	now, n := issued{}, 1
	for day, count := range rec.Value {
		if at, err := strconv.ParseInt(day, 10, 64); err == nil && at > today-issueDays {
			now[day] = count
			n += count
		}
	}
	now[strconv.FormatInt(today, 10)]++
	if most := s.records.Most(quotaCertificates); n > most {
		return &mezu.Error{Code: mezu.CodeConflict,
			Detail: fmt.Sprintf("the quota of certificates is %d: the organization's Warpgates got as many within %d days", most, issueDays),
			Hint:   "have each Warpgate keep its state directory, so that it registers once and renews once a day; or ask an operator for a higher `quotas: [" + quotaCertificates.Name + "=N]`"}
	}
	ch.Update(rec.Key, rec.Revision, now)
	return nil
}

// revocationOf is the revocation in a record. In a record of an earlier version it is in the
// statement only.
func (s *Fleet) revocationOf(ctx context.Context, key string, rec record.StreamHead) (mezu.Revocation, error) {
	if kind, path, ok := strings.Cut(key[len(record.PrefixRevocation):], "/"); ok {
		subject := path[strings.LastIndexByte(path, '/')+1:]
		return mezu.Revocation{Kind: mezu.RevocationKind(kind), Subject: subject, NotBefore: rec.NotBefore, Until: rec.Until}, nil
	}
	var r mezu.Revocation
	signed, err := s.records.Statement(ctx, key)
	if err == nil {
		err = json.Unmarshal(signed.Payload, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading revocation %q: %w", key, err)
	}
	return r, nil
}

// covers has the revocations of whole directories, by directory.
type covers map[string]time.Time

// note adds a revocation, if it is of a directory.
func (c covers) note(r mezu.Revocation) {
	if r.Kind == mezu.RevokeDirectory {
		c[r.Subject] = r.NotBefore
	}
}

// covered reports whether a revocation of an account is covered by one of the directory.
func (c covers) covered(key string, r mezu.Revocation) bool {
	path := strings.Split(key[len(record.PrefixRevocation):], "/")
	if !r.Kind.OfAccount() || len(path) != 4 {
		return false
	}
	from, ok := c[path[2]]
	return ok && !r.NotBefore.After(from)
}

// sweepRevocations removes revocations that have ended or are covered by one of a directory,
// and counts those that stay.
func (s *Fleet) sweepRevocations(ctx context.Context) error {
	counted := map[string]record.Record[int]{}
	err := record.Each(ctx, s.records, record.PrefixEnded, func(f record.Record[int]) error {
		counted[f.Key] = f
		return nil
	})
	if err != nil {
		return err
	}
	wide, stay := covers{}, map[string]int{}
	var over []record.Record[record.StreamRecord]
	// Those of directories come before those of sessions and users.
	err = record.Each(ctx, s.records, record.PrefixRevocation, func(f record.Record[record.StreamRecord]) error {
		r := mezu.Revocation{Until: f.Value.Until}
		if !s.records.Now().After(r.Until) {
			var err error
			if r, err = s.revocationOf(ctx, f.Key, f.Value.StreamHead); err != nil {
				return err
			}
			wide.note(r)
		}
		if s.records.Now().After(r.Until) || wide.covered(f.Key, r) {
			f.Value.Signed = record.Blob{}
			over = append(over, f)
			return nil
		}
		if path := strings.Split(f.Key[len(record.PrefixRevocation):], "/"); r.Kind.OfAccount() && len(path) == 4 {
			stay[record.KeyEnded(path[1])]++
			stay[record.KeyEnded(path[2])]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(over, store.MaxOps) {
		if err := s.dropRevocations(ctx, batch); err != nil {
			return err
		}
	}
	for key, f := range counted {
		if err := s.recount(ctx, f, stay[key]); err != nil {
			return err
		}
	}
	return nil
}

// dropRevocations removes records in one transaction. If one of them changed meanwhile, it
// removes the others one by one and keeps that one.
func (s *Fleet) dropRevocations(ctx context.Context, records []record.Record[record.StreamRecord]) error {
	var txn store.Txn
	for _, f := range records {
		txn.Checks = append(txn.Checks, store.Check{Key: f.Key, Revision: f.Revision})
		txn.Ops = append(txn.Ops, store.Op{Key: f.Key, Delete: true})
	}
	done, err := s.records.Housekeep(ctx, txn)
	if err != nil || done || len(records) == 1 {
		return err
	}
	for i := range records {
		if err := s.dropRevocations(ctx, records[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// recount sets a counter to what was counted, unless the counter changed meanwhile.
func (s *Fleet) recount(ctx context.Context, f record.Record[int], n int) error {
	if f.Value == n && n != 0 {
		return nil
	}
	op := store.Op{Key: f.Key, Delete: n == 0}
	if n != 0 {
		value, err := record.Encode(n)
		if err != nil {
			return err
		}
		op.Value = value
	}
	_, err := s.records.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{op}})
	return err
}

// MaxCertificates is how many certificates an organization's Warpgates get in eight days:
// as many as 12,500 of them that renew each day.
const MaxCertificates = 100_000

// quotaCertificates bounds certificates, because each may have to be revoked, and every edge
// keeps revocations.
var quotaCertificates = record.Quota{Name: "certificates", Owner: "the organization", Fallback: MaxCertificates, Max: record.AnyNumber}
