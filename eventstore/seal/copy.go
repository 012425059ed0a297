package seal

import (
	"context"
	"fmt"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// Rewrapping is what [keysdb.Copy] does to a ring's rows when the copy has a
// key-encryption key of its own: what from wrapped is wrapped by to, a thousand keys
// at a time; each key is in this process's memory for that moment. How far from was
// rotated, and which of its backups were verified, says nothing about to and stays
// behind; when something destroyed comes back in no copy is counted anew, which holds
// only if from and its own copies are destroyed once the copy is in use. An error wraps ErrRefused when a key does not open: then the ring is
// damaged, or from is not its key.
func Rewrapping(from, to KEK) keysdb.Change {
	return func(ctx context.Context, table string, rows []keysdb.Row) ([]keysdb.Row, error) {
		switch table {
		case rotations.Name, keyBackups.Name:
			return nil, nil
		case "stream_keys":
			forgetVersions(rows)
		case "ring_state":
			for _, row := range rows {
				row["kek_floor"] = int64(1)
			}
		case "subjects":
			forgetVersions(rows)
			return rows, rewrapRows(ctx, from, to, rows, func(row keysdb.Row) ([]byte, error) {
				id, ok := row["citizen"].([]byte)
				if !ok {
					return nil, errRow
				}
				citizen, err := citizenID(id)
				return dekAAD(domain.CitizenID{UUID: citizen.UUID}), err
			})
		case "deployment_keys":
			return rows, rewrapRows(ctx, from, to, rows, func(row keysdb.Row) ([]byte, error) {
				name, named := row["name"].(string)
				version, numbered := row["version"].(int64)
				if !named || !numbered {
					return nil, errRow
				}
				return deploymentAAD(name, int(version)), nil
			})
		}
		return rows, nil
	}
}

// forgetVersions removes by what version of the former key something destroyed was
// wrapped: see [Ledger.Destructions].
func forgetVersions(rows []keysdb.Row) {
	for _, row := range rows {
		row["destroyed_version"] = int64(0)
	}
}

var errRow = fmt.Errorf("a row of the key ring is not what it should be: %w", ErrRefused)

// rewrapRows replaces what rows hold in wrapped, and the version it is wrapped by.
func rewrapRows(ctx context.Context, from, to KEK, rows []keysdb.Row, aad func(keysdb.Row) ([]byte, error)) error {
	var items []UnwrapItem
	var of []keysdb.Row // the row of each item
	for _, row := range rows {
		wrapped, ok := row["wrapped"].([]byte)
		if !ok || len(wrapped) == 0 { // destroyed
			continue
		}
		use, err := aad(row)
		if err != nil {
			return err
		}
		items, of = append(items, UnwrapItem{Wrapped: wrapped, AAD: use}), append(of, row)
	}
	if len(items) == 0 {
		return nil
	}
	plain, err := from.Unwrap(ctx, items)
	if err != nil {
		return fmt.Errorf("unwrap for the copy: %w", err)
	}
	again := make([]WrapItem, len(items))
	defer func() {
		for _, p := range plain {
			clear(p.Plain)
		}
	}()
	for i, p := range plain {
		if p.Err != nil {
			return fmt.Errorf("unwrap for the copy: %w", p.Err)
		}
		again[i] = WrapItem{Plain: p.Plain, AAD: items[i].AAD}
	}
	wrapped, err := to.Wrap(ctx, again)
	if err != nil {
		return fmt.Errorf("wrap for the copy: %w", err)
	}
	for i, w := range wrapped {
		if w.Err != nil {
			return fmt.Errorf("wrap for the copy: %w", w.Err)
		}
		of[i]["wrapped"], of[i]["kek_version"] = w.Bytes, int64(w.Version)
	}
	return nil
}
