package transit

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"coffre/eventstore/seal"
)

// A wrapped key is the format byte, the version as a big-endian uint32, then the
// nonce, ciphertext and tag that Vault shows in base64 behind "vault:v1:". So there
// is one form only, and a file keeper's keys are told from Vault's.
const (
	wrappedFormat = 0x02
	wrappedHeader = 1 + 4
	maxVersion    = 1 << 20
	prefix        = "vault:v"
)

// useContext is the context of the derived key: what the wrapped key is for.
func useContext(use []byte) []byte { return append([]byte("coffre/transit/v1\x00"), use...) }

// pack turns Vault's ciphertext into the stored form.
func pack(ciphertext string) (wrapped []byte, version int, ok bool) {
	text, ok := strings.CutPrefix(ciphertext, prefix)
	number, body, found := strings.Cut(text, ":")
	version, err := strconv.Atoi(number)
	if !ok || !found || err != nil || version < 1 || version > maxVersion || strconv.Itoa(version) != number {
		return nil, 0, false
	}
	out := make([]byte, wrappedHeader, wrappedHeader+base64.StdEncoding.DecodedLen(len(body)))
	out[0] = wrappedFormat
	binary.BigEndian.PutUint32(out[1:], uint32(version))
	out, err = base64.StdEncoding.Strict().AppendDecode(out, []byte(body))
	return out, version, err == nil && len(out) > wrappedHeader
}

// unpack is the reverse of pack.
func unpack(wrapped []byte) (ciphertext string, ok bool) {
	if len(wrapped) <= wrappedHeader || wrapped[0] != wrappedFormat {
		return "", false
	}
	version := binary.BigEndian.Uint32(wrapped[1:])
	if version < 1 || version > maxVersion {
		return "", false
	}
	return prefix + strconv.FormatUint(uint64(version), 10) + ":" + base64.StdEncoding.EncodeToString(wrapped[wrappedHeader:]), true
}

// batchItem is one item of batch_input. Bytes are in base64.
type batchItem struct {
	Plain      []byte `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Context    []byte `json:"context"`
}

type batchResult struct {
	Plain      []byte `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
	Error      string `json:"error"`
}

// batch sends items and returns as many results. Vault answers 400 when an item was
// refused, with the results of all, and also when it refused the whole call.
func (c *client) batch(ctx context.Context, doing, path string, items []batchItem) ([]batchResult, error) {
	var out struct {
		Results []batchResult `json:"batch_results"`
	}
	_, err := c.call(ctx, doing, c.cfg.Mount+"/"+path, map[string]any{"batch_input": items}, http.StatusBadRequest, &out)
	if err == nil && len(out.Results) != len(items) {
		err = c.unavailable(doing, errAnswer)
	}
	return out.Results, err
}

// itemError is what Vault's words about one item mean.
func itemError(said string) error {
	if strings.Contains(said, "disallowed by policy (too old)") {
		return seal.ErrRetired
	}
	return seal.ErrRefused
}

func (c *client) wrap(ctx context.Context, items []seal.WrapItem) ([]seal.Wrapped, error) {
	if err := seal.CheckWrap(items); err != nil {
		return nil, err
	}
	batch := make([]batchItem, len(items))
	for i, item := range items {
		batch[i] = batchItem{Plain: item.Plain, Context: useContext(item.AAD)}
	}
	results, err := c.batch(ctx, "wrap", "encrypt/"+kekKey, batch)
	if err != nil {
		return nil, err
	}
	out := make([]seal.Wrapped, len(items))
	for i, r := range results {
		out[i] = wrapped(r)
	}
	return out, nil
}

func wrapped(r batchResult) seal.Wrapped {
	if r.Error != "" {
		return seal.Wrapped{Err: itemError(r.Error)}
	}
	bytes, version, ok := pack(r.Ciphertext)
	if !ok {
		return seal.Wrapped{Err: seal.ErrRefused}
	}
	return seal.Wrapped{Bytes: bytes, Version: version}
}

// opening sends those items that have the form of a wrapped key and calls each with
// their results.
func (c *client) opening(ctx context.Context, doing, path string, items []seal.UnwrapItem, each func(i int, r batchResult), refuse func(i int)) error {
	if err := seal.CheckUnwrap(items); err != nil {
		return err
	}
	var batch []batchItem
	var of []int
	for i, item := range items {
		ciphertext, ok := unpack(item.Wrapped)
		if !ok {
			refuse(i)
			continue
		}
		batch, of = append(batch, batchItem{Ciphertext: ciphertext, Context: useContext(item.AAD)}), append(of, i)
	}
	if len(batch) == 0 {
		return ctx.Err()
	}
	results, err := c.batch(ctx, doing, path, batch)
	if err != nil {
		return err
	}
	for n, r := range results {
		each(of[n], r)
	}
	return nil
}

func (c *client) unwrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Unwrapped, error) {
	out := make([]seal.Unwrapped, len(items))
	err := c.opening(ctx, "unwrap", "decrypt/"+kekKey, items, func(i int, r batchResult) {
		switch {
		case r.Error != "":
			out[i].Err = itemError(r.Error)
		case len(r.Plain) == 0:
			out[i].Err = seal.ErrRefused
		default:
			out[i].Plain = r.Plain
		}
	}, func(i int) { out[i].Err = seal.ErrRefused })
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (c *client) rewrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Wrapped, error) {
	out := make([]seal.Wrapped, len(items))
	err := c.opening(ctx, "rewrap", "rewrap/"+kekKey, items, func(i int, r batchResult) { out[i] = wrapped(r) },
		func(i int) { out[i].Err = seal.ErrRefused })
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (c *client) key(ctx context.Context, doing, name string) (keyInfo, error) {
	var info keyInfo
	_, err := c.call(ctx, doing, c.cfg.Mount+"/keys/"+name, nil, http.StatusOK, &info)
	if err == nil && (info.Latest < 1 || info.Latest > maxVersion) {
		err = c.unavailable(doing, errAnswer)
	}
	return info, err
}

func (c *client) versions(ctx context.Context) (seal.Versions, error) {
	info, err := c.key(ctx, "read versions", kekKey)
	if err != nil {
		return seal.Versions{}, err
	}
	return seal.Versions{Latest: info.Latest, MinDecryption: max(1, info.MinDecryption), MinAvailable: max(1, info.MinAvailable)}, nil
}

// configure changes the key-encryption key; a refusal of the values is
// seal.ErrVersion.
func (c *client) configure(ctx context.Context, doing, path string, in any) error {
	status, err := c.call(ctx, doing, c.cfg.Mount+"/keys/"+kekKey+path, in, http.StatusBadRequest, nil)
	if err == nil && status == http.StatusBadRequest {
		return fmt.Errorf("vault: %s: %w", doing, seal.ErrVersion)
	}
	return err
}

const rotatePath = "/rotate"

func (c *client) rotate(ctx context.Context) (int, error) {
	if err := c.configure(ctx, "rotate", rotatePath, struct{}{}); err != nil {
		return 0, err
	}
	v, err := c.versions(ctx)
	return v.Latest, err
}

// setMinDecryption sets the minimum for encryption too: wrapping uses the latest
// version in any case, and Vault trims nothing until both are set.
func (c *client) setMinDecryption(ctx context.Context, oldest int) error {
	v, err := c.versions(ctx)
	if err != nil {
		return err
	}
	if oldest < v.MinAvailable || oldest > v.Latest {
		return seal.ErrVersion
	}
	return c.configure(ctx, "set the minimum for decryption", "/config", map[string]int{"min_decryption_version": oldest, "min_encryption_version": oldest})
}

func (c *client) trim(ctx context.Context, oldest int) error {
	v, err := c.versions(ctx)
	if err != nil {
		return err
	}
	if oldest < v.MinAvailable || oldest > v.MinDecryption {
		return seal.ErrVersion
	}
	return c.configure(ctx, "trim", "/trim", map[string]int{"min_available_version": oldest})
}
