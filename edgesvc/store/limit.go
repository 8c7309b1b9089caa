package store

import "fmt"

// Validate applies the limits of the contract. Every driver calls it before it sends
// anything to its engine, so that all drivers refuse the same transactions.
func (t Txn) Validate() error {
	if len(t.Ops) > MaxOps || len(t.Checks) > MaxChecks {
		return fmt.Errorf("%d operations, %d checks: %w", len(t.Ops), len(t.Checks), ErrTooLarge)
	}
	for _, c := range t.Checks {
		if err := validateKey(c.Key); err != nil {
			return err
		}
	}
	size := 0
	seen := make(map[string]struct{}, len(t.Ops))
	for _, op := range t.Ops {
		if err := validateKey(op.Key); err != nil {
			return err
		}
		if _, twice := seen[op.Key]; twice {
			return fmt.Errorf("key %q is written twice: %w", op.Key, ErrInvalid)
		}
		seen[op.Key] = struct{}{}
		size += len(op.Key) + len(op.Value)
	}
	if size > MaxTxnBytes {
		return fmt.Errorf("%d bytes: %w", size, ErrTooLarge)
	}
	return nil
}

func validateKey(key string) error {
	if key == "" {
		return fmt.Errorf("empty key: %w", ErrInvalid)
	}
	if len(key) > MaxKeyBytes {
		return fmt.Errorf("key of %d bytes: %w", len(key), ErrTooLarge)
	}
	return nil
}

// PageLimit is how many records a page may have for the limit that a caller gave.
func PageLimit(limit int) int {
	if limit <= 0 {
		limit = DefaultPage
	}
	return min(limit, MaxPage)
}
