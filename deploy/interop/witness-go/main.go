// Command witness is the witness of transparency-dev for one log, with a key of its own and
// its memory in the process: witness NAME LOG-VKEY. It prints its verifier key and where it
// listens, a line each, and ends with its standard input.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(name, watched string) error {
	of, err := note.NewVerifier(watched)
	if err != nil {
		return err
	}
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return err
	}
	signer, err := fnote.NewSignerForCosignatureV1(private)
	if err != nil {
		return err
	}
	w, err := witness.New(context.Background(), witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			return of, origin == of.Name(), nil
		},
	})
	if err != nil {
		return err
	}
	handler := http.NewServeMux()
	handler.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(w).AddCheckpoint)
	server := httptest.NewServer(handler)
	defer server.Close()
	key, err := fnote.VKeyToCosignatureV1(public)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s\n", key, server.URL)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
