package seal

import (
	"bytes"
	"context"
	"errors"

	"coffre/eventstore/seal/keysdb"
)

// The digests of suppressions stand in an order of their own, in which each row names the next
// one: a row proves that nothing is remembered between the two. So a suppression that somebody
// deleted is missed at the moment when its person would be enrolled, by the one row before it,
// and not only by the next walk over all rows. The order is made of the suppressions, and made
// anew by a start that finds it damaged or incomplete beside suppressions of which the sums say
// that none is missing.

// beginning stands before every digest, and is what the last one names as next.
var beginning = []byte{}

// notRemembered returns a keysdb.Damage unless the order of suppressions shows that none with
// this digest was ever there, or that it was removed by whoever may.
func notRemembered(tx *keysdb.Tx, of [32]byte) error {
	before, err := tx.Entry(suppressionOrder, `ssin <= ? ORDER BY ssin DESC LIMIT 1`, of[:])
	switch {
	case err != nil:
		return err
	case before == nil:
		return tx.Missing(suppressionOrder)
	case bytes.Equal(before.Bytes("ssin"), of[:]):
		return tx.Lacking(suppressions, of[:])
	}
	if next := before.Bytes("next"); len(next) > 0 && bytes.Compare(next, of[:]) <= 0 {
		return tx.Lacking(suppressionOrder, next)
	}
	return nil
}

// remember adds a suppression, and its digest in the order.
func remember(tx *keysdb.Tx, hash suppressed, s Suppression) error {
	if err := tx.Insert(suppressions, hash.of[:], s.until(), string(s.Basis), hash.echo[:], s.Since.UnixMicro(), hash.version); err != nil {
		return err
	}
	return inOrder(func() error {
		before, err := tx.Entry(suppressionOrder, `ssin <= ? ORDER BY ssin DESC LIMIT 1`, hash.of[:])
		switch {
		case err != nil:
			return err
		case before == nil:
			return tx.Missing(suppressionOrder)
		case bytes.Equal(before.Bytes("ssin"), hash.of[:]):
			return nil
		}
		if err := tx.Insert(suppressionOrder, hash.of[:], before.Bytes("next")); err != nil {
			return err
		}
		before.Set("next", hash.of[:])
		return tx.Put(before)
	})
}

// forget removes a suppression that this transaction has read, and its digest in the order.
func forget(tx *keysdb.Tx, e *keysdb.Entry) error {
	of := e.Bytes("ssin")
	if err := tx.Remove(e); err != nil {
		return err
	}
	return inOrder(func() error {
		here, err := tx.Entry(suppressionOrder, `ssin = ?`, of)
		if err != nil || here == nil {
			return err
		}
		before, err := tx.Entry(suppressionOrder, `ssin < ? ORDER BY ssin DESC LIMIT 1`, of)
		switch {
		case err != nil:
			return err
		case before == nil:
			return tx.Missing(suppressionOrder)
		case !bytes.Equal(before.Bytes("next"), of):
			return tx.Lacking(suppressionOrder, before.Bytes("next"))
		}
		before.Set("next", here.Bytes("next"))
		return errors.Join(tx.Put(before), tx.Remove(here))
	})
}

// inOrder runs a change of the order. A damaged row of it, which is told to the operator,
// stops no erasure and no release: the next start makes the order anew.
func inOrder(change func() error) error {
	if err := change(); !errors.Is(err, keysdb.ErrDamaged) {
		return err
	}
	return nil
}

// orderSuppressions makes the order of the suppressions where there is none yet, or a damaged
// or an incomplete one, unless suppressions are damaged or missing by what was found: then it
// is the order that tells which.
func (r *Ring) orderSuppressions(ctx context.Context, found []keysdb.Damage) error {
	damaged := false
	for _, d := range found {
		switch {
		case d.Table == suppressions.Name, d.Sums():
			return nil
		case d.Table == suppressionOrder.Name:
			damaged = true
		}
	}
	var remembered, ordered int64
	_, err := r.row(ctx, `SELECT (SELECT count(*) FROM suppressions), (SELECT count(*) FROM suppression_order)`, nil, &remembered, &ordered)
	if err != nil || !damaged && ordered == remembered+1 {
		return err
	}
	_, err = keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
		all, err := tx.Entries(suppressions, `ORDER BY ssin`)
		if err == nil {
			err = tx.Clear(suppressionOrder)
		}
		before := beginning
		for _, e := range all {
			if err == nil {
				err = tx.Insert(suppressionOrder, before, e.Bytes("ssin"))
			}
			before = e.Bytes("ssin")
		}
		if err == nil {
			err = tx.Insert(suppressionOrder, before, beginning)
		}
		return struct{}{}, err
	})
	return err
}
