package transit_test

import (
	"os"
	"testing"

	"coffre/eventstore/seal/keystest"
	"coffre/eventstore/seal/transit"
	"coffre/eventstore/seal/transit/vaulttest"
)

func TestMain(m *testing.M) { os.Exit(vaulttest.Main(m)) }

func TestContract(t *testing.T) {
	configs := map[string]transit.Config{} // by test
	keystest.Run(t, func(t *testing.T) keystest.Keys {
		s := vaulttest.Shared(t)
		configs[t.Name()] = s.Config(t)
		return s.Keeper(t, configs[t.Name()])
	}, func(t *testing.T) keystest.Keys {
		k, err := transit.Open(t.Context(), configs[t.Name()])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return k
	})
}
