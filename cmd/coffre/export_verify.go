package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/files"
	"coffre/handlers/certificate"
)

// manifestName is the file beside an export that holds its manifest.
func manifestName(file string) string { return file + ".manifest" }

// maxManifest bounds the bytes of a manifest, of which a checkpoint with its cosignatures is the
// most.
const maxManifest = 1 << 20

// verifiedExport is an export that holds, as --json prints it.
type verifiedExport struct {
	Holds bool `json:"holds"`
	certificate.Manifest
}

func newExportVerify(p *program) *cobra.Command {
	var manifest string
	var keys []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify FILE --key KEY", Short: "Check a file of an export, with no vault and no network",
		Long: `Checks that a file is the one that the vault made: the signature of its manifest, the checkpoint
of the log that it ends at, the SHA-256 of the file, and that it has as many rows as the manifest
says. The manifest lies beside the file, with .manifest behind its name.

KEY is a public key of the log that you trust: the base64 of it, a file with it, or the file of
coffre erase keys --json. It never comes from the manifest.

It ends with 0 when the file holds, 1 on an error, 2 on a mistake of usage, 3 when the file or
its manifest is another.`,
		Example: `  coffre export verify consents.csv --key keys.json
  coffre export verify january.parquet --manifest january.txt --key keys.json --json`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := p.verifyExport(cmd.Context(), args[0], manifest, keys)
			if err != nil {
				return err
			}
			v := verifiedExport{true, m}
			return p.print(asJSON, v, "holds", "yes", "export", m.Export.String(), "kind", string(m.Kind), "rows", strconv.FormatInt(m.Rows, 10),
				"events of the log", strconv.FormatInt(m.Events, 10), "sha256", m.Sha256)
		},
	}
	cmd.Flags().StringVar(&manifest, "manifest", "", "`file` with the manifest (default: FILE.manifest)")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "a public `key` of the log that you trust, or a file with it")
	required(cmd, "key")
	_ = cmd.MarkFlagFilename("manifest") // only for a flag that is not there
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) verifyExport(ctx context.Context, file, manifest string, keys []string) (m certificate.Manifest, err error) {
	trusted, err := p.logKeys(keys)
	if err != nil {
		return m, err
	}
	var public []ed25519.PublicKey
	for _, k := range trusted {
		public = append(public, k.Public)
	}
	if manifest == "" {
		manifest = manifestName(file)
	}
	signed, err := p.readFile(manifest, maxManifest)
	if err != nil {
		return m, &exitError{exitUsage, fmt.Errorf("manifest: %w", files.Cause(err))}
	}
	if m, err = certificate.ReadManifest(signed, public...); err != nil {
		return m, &exitError{exitTamper, err}
	}
	f, err := os.Open(file)
	if err != nil {
		return m, &exitError{exitUsage, fmt.Errorf("export: %w", files.Cause(err))}
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return m, fmt.Errorf("export: %w", files.Cause(err))
	}
	bar := p.progress(info.Size(), "verify", true)
	defer bar.Done()
	err = m.CheckFile(ctx, f, info.Size(), bar.Add)
	if errors.Is(err, certificate.ErrFile) {
		return m, &exitError{exitTamper, err}
	}
	return m, err
}
