package faultkeys_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"coffre/eventstore/faulty"
	"coffre/eventstore/faulty/faultkeys"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keystest"
	"coffre/eventstore/seal/localkek"
)

func open(t *testing.T, path string) *faultkeys.Keeper {
	t.Helper()
	k, err := localkek.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return faultkeys.New(k, nil)
}

func TestQuietKeeper(t *testing.T) {
	paths := map[string]string{} // by test
	keystest.Run(t, func(t *testing.T) keystest.Keys {
		paths[t.Name()] = filepath.Join(t.TempDir(), "kek.json")
		return open(t, paths[t.Name()])
	}, func(t *testing.T) keystest.Keys { return open(t, paths[t.Name()]) })
}

var errBroken = errors.New("broken on command")

func TestFailsBeforeAndAfterItsEffect(t *testing.T) {
	for _, after := range []bool{false, true} {
		k := open(t, filepath.Join(t.TempDir(), "kek.json"))
		fault := faulty.Fault{Before: errBroken}
		if after {
			fault = faulty.Fault{After: errBroken}
		}
		ctx := t.Context()
		w, err := k.Wrap(ctx, []seal.WrapItem{{Plain: []byte("key")}})
		if err != nil {
			t.Fatal(err)
		}
		items := []seal.UnwrapItem{{Wrapped: w[0].Bytes}}
		calls := map[faultkeys.Method]func(context.Context) (any, error){
			faultkeys.Wrap: func(ctx context.Context) (any, error) {
				out, err := k.Wrap(ctx, []seal.WrapItem{{Plain: []byte("key")}})
				return len(out), err
			},
			faultkeys.Unwrap:           func(ctx context.Context) (any, error) { out, err := k.Unwrap(ctx, items); return len(out), err },
			faultkeys.Rewrap:           func(ctx context.Context) (any, error) { out, err := k.Rewrap(ctx, items); return len(out), err },
			faultkeys.Versions:         func(ctx context.Context) (any, error) { out, err := k.Versions(ctx); return out.Latest, err },
			faultkeys.Rotate:           func(ctx context.Context) (any, error) { return k.Rotate(ctx) },
			faultkeys.SetMinDecryption: func(ctx context.Context) (any, error) { return 0, k.SetMinDecryption(ctx, 1) },
			faultkeys.Trim:             func(ctx context.Context) (any, error) { return 0, k.Trim(ctx, 1) },
			faultkeys.Sign:             func(ctx context.Context) (any, error) { s, id, err := k.Sign(ctx, nil); return len(s) + len(id), err },
			faultkeys.PublicKey: func(ctx context.Context) (any, error) {
				p, id, err := k.PublicKey(ctx, "")
				return len(p) + len(id), err
			},
		}
		for _, m := range faultkeys.Methods() {
			call := calls[m]
			k.SetRule(faultkeys.At(m, 2, fault))
			for n := 1; n <= 3; n++ {
				out, err := call(ctx)
				if broken := n == 2; broken != errors.Is(err, errBroken) || broken && out != 0 || !broken && err != nil {
					t.Errorf("method %d, call %d: %v, %v", m, n, out, err)
				}
			}
			if k.Calls(m) != 3 {
				t.Errorf("method %d: %d calls counted", m, k.Calls(m))
			}
		}
		want := 3 // rotated twice
		if after {
			want = 4
		}
		k.SetRule(nil)
		if v, err := k.Versions(ctx); err != nil || v.Latest != want {
			t.Errorf("after the effect %t: at version %d, want %d: %v", after, v.Latest, want, err)
		}
	}
}
