package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"filippo.io/age"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/eventstore/backup"
	"coffre/handlers/contract"
)

func newBackup(p *program) *cobra.Command {
	var at where
	var to recipients
	var key identityFile
	var asJSON, verify bool
	var out output
	cmd := &cobra.Command{
		Use: "backup --out FILE (--recipient KEY | --recipients-file FILE)", Short: "Take an encrypted backup, or verify one",
		Long: `Takes a backup of a vault while it goes on serving: the log, the key ring, what was sent
to whom, and the attachments, of one moment, encrypted by age to every recipient. Nothing is
written in clear, and the file appears whole or not at all, readable by its owner only.

Neither the key-encryption key nor the shred list is in it: keep both, and keep them apart
(deploy/runbooks/backup.md). Recipients are made by age-keygen, on a machine where the vault
is not. With --verify the backup is read again as "backup verify" does.`,
		Example: `  coffre backup --data data --out coffre.age --recipients-file recipients.txt
  coffre backup --data data --out coffre.age --recipients-file recipients.txt --verify --identity-file backup.key
  coffre backup verify coffre.age --identity-file backup.key --data data`,
		Args:        noSuchCommand,
		Annotations: map[string]string{runsItself: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if verify && key.name == "" {
				return usage("--verify needs --identity-file")
			}
			if err := out.check(); err != nil {
				return err
			}
			words, err := p.recipients(to)
			if err != nil {
				return err
			}
			var with []age.Identity
			if verify {
				if with, err = p.identities(key); err != nil {
					return err
				}
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				done, err := p.backup(cmd.Context(), c, words, out)
				if err != nil {
					return err
				}
				if verify {
					if done, err = p.verifyBackup(cmd.Context(), out.name, with, key.scratch); err != nil {
						return err
					}
					if err := report(cmd.Context(), c, &done); err != nil {
						return err
					}
				}
				return p.printBackup(asJSON, done)
			})
		},
	}
	at.flags(cmd)
	to.flags(cmd)
	key.flags(cmd, "")
	out.flags(cmd)
	cmd.Flags().BoolVar(&verify, "verify", false, "read it again, and report to the vault that it is good")
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(newBackupVerify(p), newBackupReport(p))
	return cmd
}

func newBackupVerify(p *program) *cobra.Command {
	var at where
	var key identityFile
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify FILE --identity-file KEY", Short: "Restore a backup for a test and read all of it",
		Long: `Restores a backup into a scratch directory, reads every record again, looks for the key of
everything sealed, and removes the directory. With --data or --url the vault that made the
backup is told that it is good, which retiring versions of the key-encryption key waits for.
A backup that is damaged ends with exit code 3.

The scratch directory holds what the vault's own directory holds, still sealed: keep it
where the vault's directory might lie.`,
		Example: `  coffre backup verify coffre.age --identity-file backup.key
  coffre backup verify coffre.age --identity-file backup.key --data data --scratch /var/tmp`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			with, err := p.identities(key)
			if err != nil {
				return err
			}
			done, err := p.verifyBackup(cmd.Context(), args[0], with, key.scratch)
			if err != nil {
				return err
			}
			if at.data != "" || at.url != "" {
				if err := p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
					return report(cmd.Context(), c, &done)
				}); err != nil {
					return err
				}
			}
			return p.printBackup(asJSON, done)
		},
	}
	at.optional(cmd)
	key.flags(cmd, "identity-file")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// recipients are the public keys that can open a backup, as flags name them.
type recipients struct {
	words []string
	file  string
}

func (r *recipients) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&r.words, "recipient", nil, "public `key` that can open it, age1...; may be repeated")
	cmd.Flags().StringVar(&r.file, "recipients-file", "", "`file` with recipients, one a line")
	cmd.MarkFlagsOneRequired("recipient", "recipients-file")
	_ = cmd.MarkFlagFilename("recipients-file") // only for a flag that is not there
}

func (p *program) recipients(r recipients) ([]string, error) {
	words := r.words
	if r.file != "" {
		f, err := os.Open(r.file)
		if err != nil {
			return nil, fmt.Errorf("recipients file: %w", files.Cause(err))
		}
		defer f.Close() // it was only read
		more, err := backup.ReadRecipients(f)
		if err != nil {
			return nil, err
		}
		words = append(words, more...)
	}
	if _, err := backup.ParseRecipients(words); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return words, nil
}

// identityFile names the file with the secret key that opens a backup, and the directory
// to restore it in for a test.
type identityFile struct{ name, scratch string }

func (i *identityFile) flags(cmd *cobra.Command, requiredFlag string) {
	cmd.Flags().StringVar(&i.name, "identity-file", "", "`file` with the secret key that opens it, AGE-SECRET-KEY-...; - is standard input")
	cmd.Flags().StringVar(&i.scratch, "scratch", "", "`directory` in which to restore it for the test (default: the system's for temporary files)")
	if requiredFlag != "" {
		required(cmd, requiredFlag)
	}
	_ = cmd.MarkFlagFilename("identity-file") // only for a flag that is not there
	_ = cmd.MarkFlagDirname("scratch")
}

func (p *program) identities(i identityFile) ([]age.Identity, error) {
	if i.name == "-" {
		return backup.ReadIdentities(p.In)
	}
	f, err := os.Open(i.name)
	if err != nil {
		return nil, fmt.Errorf("identity file: %w", files.Cause(err))
	}
	defer f.Close() // it was only read
	return backup.ReadIdentities(f)
}

// backupDone is a backup that was taken or verified.
type backupDone struct {
	File     string           `json:"file"`
	Size     int64            `json:"size"` // bytes
	SHA256   backup.Sum       `json:"sha256"`
	Verified bool             `json:"verified"`
	Reported bool             `json:"reported"` // to the vault that made it
	Manifest *backup.Manifest `json:"manifest,omitempty"`
}

// backup takes one and writes it to out.
func (p *program) backup(ctx context.Context, c *client.Client, words []string, out output) (done backupDone, err error) {
	done.File = out.name
	content, err := client.Stream(c.CreateBackup(ctx, contract.BackupCreate{Recipients: words}))
	if err != nil {
		return done, err
	}
	defer content.Close()
	bar := p.progress(-1, "backup", true)
	defer bar.Done()
	return done, out.write(func(w io.Writer) error {
		sum := sha256.New()
		if done.Size, err = io.Copy(io.MultiWriter(w, sum, barWriter{bar}), content); err != nil {
			return fmt.Errorf("fetch the backup: %w", err)
		}
		sum.Sum(done.SHA256[:0])
		return nil
	})
}

// barWriter moves a bar.
type barWriter struct{ bar progress }

func (b barWriter) Write(p []byte) (int, error) {
	b.bar.Add(int64(len(p)))
	return len(p), nil
}

// verifyBackup restores a backup for a test.
func (p *program) verifyBackup(ctx context.Context, file string, with []age.Identity, scratch string) (done backupDone, err error) {
	done.File = file
	dir, err := os.MkdirTemp(scratch, "coffre-verify-*") // 0700
	if err != nil {
		return done, fmt.Errorf("scratch directory: %w", files.Cause(err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	found, size, sum, err := p.readBackup(ctx, file, &vault.Restore{Dir: vault.DataDir(dir), Identities: with, Scratch: true})
	if err != nil {
		return done, err
	}
	done.Size, done.SHA256, done.Verified, done.Manifest = size, sum, true, &found.Manifest
	return done, nil
}

// readBackup runs a restore with what a person sees of it.
func (p *program) readBackup(ctx context.Context, file string, r *vault.Restore) (found vault.Restored, size int64, sum backup.Sum, err error) {
	f, err := os.Open(file)
	if err != nil {
		return found, 0, sum, fmt.Errorf("backup: %w", files.Cause(err))
	}
	defer f.Close() // it was only read
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	hash := sha256.New()
	bar := p.progress(size, "read", true)
	defer func() { bar.Done() }()
	shown := int64(0)
	r.Show = func(n, of int64) {
		if shown == 0 {
			bar.Done()
			bar = p.progress(of, "verify records", false)
		}
		bar.Add(n - shown)
		shown = n
	}
	r.Digest = func() string { return hex.EncodeToString(hash.Sum(nil)) }
	found, err = r.Run(ctx, io.TeeReader(f, io.MultiWriter(hash, barWriter{bar})))
	if errors.Is(err, backup.ErrDamaged) {
		err = &exitError{exitTamper, err}
	}
	hash.Sum(sum[:0])
	return found, size, sum, err
}

// report tells the vault that made a backup that it is good.
func report(ctx context.Context, c *client.Client, done *backupDone) error {
	text, err := done.SHA256.MarshalText()
	if err != nil {
		return err
	}
	if _, err := client.Read[contract.BackupNote](c.ReportVerifiedBackup(ctx, contract.ReportVerifiedBackupParams{IdempotencyKey: uuid.New()}, contract.BackupReport{Sha256: string(text)})); err != nil {
		return err
	}
	done.Reported = true
	return nil
}

func (p *program) printBackup(asJSON bool, done backupDone) error {
	facts := []string{
		"file", done.File, "bytes", strconv.FormatInt(done.Size, 10), "sha256", fmt.Sprintf("%x", done.SHA256),
		"verified", yes(done.Verified), "reported to the vault", yes(done.Reported),
	}
	if done.Manifest != nil {
		facts = append(facts, manifestFacts(*done.Manifest)...)
	}
	return p.print(asJSON, done, facts...)
}

func manifestFacts(m backup.Manifest) []string {
	return []string{
		"state of", day(m.Taken), "events", strconv.FormatInt(m.Log.Records, 10), "last event", day(m.Log.At), "its leaf hash", fmt.Sprintf("%x", m.Log.Last),
		"needs key versions", fmt.Sprintf("%d to %d", m.Keys.Oldest, m.Keys.Latest), "attachments", strconv.FormatInt(m.Blobs.Count, 10), "written by", m.Software,
	}
}
