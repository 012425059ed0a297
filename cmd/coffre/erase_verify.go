package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
)

func newEraseKeys(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "keys", Short: "The public keys that verify certificates, former ones too",
		Long: `Shows the public keys of the vault. Whoever verifies a certificate fetches them once, over a
connection they trust, and keeps them: a certificate cannot vouch for its own key.`,
		Example: `  coffre erase keys --data data
  coffre erase keys --data data --json > keys.json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asksOpenly(cmd.Context(), at, func(c *client.Client) error {
				all, err := client.Read[contract.SigningKeys](c.GetSigningKeys(cmd.Context()))
				if err != nil {
					return err
				}
				if asJSON {
					return p.printJSON(all.Body)
				}
				t := p.table("KEY", "SIGNS", "NOW", "PUBLIC KEY")
				for _, k := range all.Body.Keys {
					t.row(k.SigningKeyID, string(k.Purpose), yes(k.Current), base64.StdEncoding.EncodeToString(k.PublicKey))
				}
				return t.flush()
			})
		},
	}
	at.open(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newEraseVerify(p *program) *cobra.Command {
	var key, events string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify FILE --key KEY", Short: "Check a certificate of erasure, with no vault and no network",
		Long: `Checks that a certificate was signed by the vault's destroyer and says all that it must: which
keys, how many events, who asked and who approved, what stays, and, once it is final, when the
last copies were gone. KEY is the base64 of a public key, a file with it (base64 or PEM), or the
file that coffre erase keys --json writes; @FILE is always a file. It never comes from the certificate.

A file that is no certificate ends with exit code 1, one that does not hold with 3.

With --events, the log as coffre audit replay --json tells it, it also counts the events that those
keys sealed and computes the digest over them.`,
		Example: `  coffre erase verify certificate.json --key keys.json
  coffre erase verify certificate.json --key keys.json --events log.jsonl
  coffre erase verify - --key MCowBQYDK2VwAyEA... < certificate.json`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			signed, err := p.readFile(args[0], maxCertificate)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("certificate: %w", err)}
			}
			public, err := p.trusted(key, signed)
			if err != nil {
				return certificateError(args[0], err)
			}
			c, err := certificate.Read(signed, public)
			if err != nil {
				return certificateError(args[0], err)
			}
			v := verified{Holds: true, Erasure: c.ErasureID.UUID, State: c.State, Certificate: c}
			if events != "" {
				if err := p.audit(&v, events); err != nil {
					return err
				}
			}
			return p.printVerified(asJSON, v)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the public `key` that you trust, or a file with it")
	cmd.Flags().StringVar(&events, "events", "", "`file` with the log, as coffre audit replay --json writes it; - is standard input")
	required(cmd, "key")
	_ = cmd.MarkFlagFilename("events") // only for a flag that is not there
	jsonFlag(cmd, &asJSON)
	return cmd
}

// maxCertificate and maxKeys bound what is read of a certificate, which names each key
// of a citizen, and of a file with public keys, in bytes.
const maxCertificate, maxKeys = 64 << 20, 1 << 20

// readFile reads a whole file; - is standard input.
func (p *program) readFile(name string, limit int64) ([]byte, error) {
	if name == "-" {
		return files.ReadAtMost(p.In, limit)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := files.ReadAtMost(f, limit)
	return b, errors.Join(err, f.Close())
}

var errNoKey = errors.New("--key is the base64 of a public Ed25519 key, or a file that holds it")

// trusted returns the public key to verify a certificate with: of several, the one
// that it names.
func (p *program) trusted(key string, signed []byte) (ed25519.PublicKey, error) {
	name, isFile := strings.CutPrefix(key, "@")
	if !isFile {
		if k := publicKey([]byte(key)); k != nil {
			return k, nil
		}
	}
	b, err := p.readFile(name, maxKeys)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("%w: %w", errNoKey, files.Cause(err))}
	}
	if k := publicKey(b); k != nil {
		return k, nil
	}
	var bundle contract.SigningKeys
	if json.Unmarshal(b, &bundle) != nil || len(bundle.Keys) == 0 {
		return nil, &exitError{exitUsage, errNoKey}
	}
	id, err := certificate.SigningKeyOf(signed)
	if err != nil {
		return nil, err
	}
	for _, k := range bundle.Keys {
		if k.SigningKeyID == id && k.Purpose == contract.SigningPurposeErasure {
			return k.PublicKey, nil
		}
	}
	return nil, &exitError{exitTamper, errStrangeKey}
}

// certificateError ends a command on a certificate that proves nothing. Bytes that are no
// certificate at all say nothing of anybody who changed one.
func certificateError(file string, err error) error {
	var ended *exitError
	switch {
	case errors.As(err, &ended):
		return err
	case errors.Is(err, certificate.ErrForm):
		return fmt.Errorf("%s: %w: it is the file that coffre erase certificate writes", file, err)
	}
	return &exitError{exitTamper, err}
}

var errStrangeKey = errors.New("the certificate was signed by a key that is not among those of the file")

// publicKey reads a key as people hand it on; nil when it is none.
func publicKey(text []byte) ed25519.PublicKey {
	der := text
	if block, _ := pem.Decode(text); block != nil {
		der = block.Bytes
	} else if b, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text))); err == nil {
		der = b
	}
	if len(der) == ed25519.PublicKeySize {
		return der
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil
	}
	k, _ := parsed.(ed25519.PublicKey)
	return k
}

// verified is a certificate that holds, as --json prints it.
type verified struct {
	Holds       bool                        `json:"holds"`
	Erasure     uuid.UUID                   `json:"erasureId"`
	State       contract.ErasureState       `json:"state"`
	Compared    bool                        `json:"compared"`        // with the log
	Later       int64                       `json:"later,omitempty"` // events that came too late and were refused
	Certificate contract.ErasureCertificate `json:"certificate"`
}

// audit compares the certificate with the log.
func (p *program) audit(v *verified, events string) (err error) {
	in := p.In
	if events != "-" {
		f, err := os.Open(events)
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("events: %w", files.Cause(err))}
		}
		defer f.Close() // it was only read
		in = f
	}
	audit := certificate.NewAudit(v.Certificate)
	lines := bufio.NewReaderSize(in, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("events: %w", files.Cause(err))
		}
		if len(bytes.TrimSpace(line)) > 0 {
			var e contract.LogEvent
			if json.Unmarshal(line, &e) != nil {
				return &exitError{exitUsage, fmt.Errorf("events: line %d is not an event", n)}
			}
			if e.Cursor != "" && e.Type != "" { // the last line sums up
				if err := audit.Add(e); err != nil {
					return &exitError{exitTamper, err}
				}
			}
		}
		if err != nil {
			break
		}
	}
	if _, v.Later, err = audit.Result(); err != nil {
		return &exitError{exitTamper, err}
	}
	v.Compared = true
	return nil
}

func (p *program) printVerified(asJSON bool, v verified) error {
	if asJSON {
		return p.printJSON(v)
	}
	compared := "not compared; --events FILE compares it"
	if v.Compared {
		compared = "holds what the certificate says of it"
	}
	later := ""
	if v.Later > 0 {
		later = strconv.FormatInt(v.Later, 10) + ", refused to their issuers, unreadable too"
	}
	return p.facts(append([]string{"certificate", "holds", "log", compared, "events that came too late", later}, certified(v.Certificate)...)...)
}
