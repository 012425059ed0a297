package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"coffre/cmd/coffre/files"
	"coffre/eventstore/backup"
	"coffre/eventstore/blob"
	"coffre/eventstore/blob/folder"
	"coffre/eventstore/blob/s3"
	"coffre/eventstore/seal"
)

// BlobsConfig says which bucket keeps the sealed files of documents.
type BlobsConfig struct {
	Bucket        string // COFFRE_BLOBS: s3://BUCKET or s3://BUCKET/PREFIX/; unset: a folder beside the data
	Prefix        string // of COFFRE_BLOBS; default none
	Endpoint      string // COFFRE_BLOBS_ENDPOINT: https://host[:port], or http on loopback; required
	Region        string // COFFRE_BLOBS_REGION; default none
	AccessKey     string // COFFRE_BLOBS_ACCESS_KEY: the name that goes with the secret; required
	SecretKeyFile string // COFFRE_BLOBS_SECRET_KEY_FILE: file with the secret; required
	CAFile        string // COFFRE_BLOBS_CA_FILE: PEM certificates to trust; default the system's
}

// blobsFromEnv reads what the environment says of the files' store; nil: nothing.
func blobsFromEnv(lookup func(string) string) (*BlobsConfig, error) {
	b := BlobsConfig{
		Endpoint: lookup("COFFRE_BLOBS_ENDPOINT"), Region: lookup("COFFRE_BLOBS_REGION"), AccessKey: lookup("COFFRE_BLOBS_ACCESS_KEY"),
		SecretKeyFile: lookup("COFFRE_BLOBS_SECRET_KEY_FILE"), CAFile: lookup("COFFRE_BLOBS_CA_FILE"),
	}
	where := lookup("COFFRE_BLOBS")
	if where == "" {
		if b != (BlobsConfig{}) {
			return nil, errors.New("COFFRE_BLOBS_… is set, and COFFRE_BLOBS is not: files would lie in a folder")
		}
		return nil, nil
	}
	var wrong []error
	bucket, ok := strings.CutPrefix(where, "s3://")
	if b.Bucket, b.Prefix, _ = strings.Cut(bucket, "/"); !ok || b.Bucket == "" || b.Prefix != "" && !strings.HasSuffix(b.Prefix, "/") {
		wrong = append(wrong, errors.New("COFFRE_BLOBS is s3://BUCKET or s3://BUCKET/PREFIX/"))
	}
	for name, value := range map[string]string{"ENDPOINT": b.Endpoint, "ACCESS_KEY": b.AccessKey, "SECRET_KEY_FILE": b.SecretKeyFile} {
		if value == "" {
			wrong = append(wrong, fmt.Errorf("COFFRE_BLOBS_%s is needed with COFFRE_BLOBS", name))
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return &b, nil
}

// blobsMark says in a data directory that its files lie elsewhere, so that a process
// that is told nothing of it does not look for them, and miss them, beside the data.
const blobsMark = "blobs.s3"

// Errors of a directory whose files lie where the configuration does not look for them.
var (
	ErrBlobsElsewhere = errors.New("the files of this directory's documents lie in a bucket; set COFFRE_BLOBS")
	ErrBlobsHere      = errors.New("the files of this directory's documents lie in its folder " + BlobsFolder + ", and COFFRE_BLOBS is set: unset it, or bring the vault to another directory by `coffre store copy`")
)

// openBlobs opens the store of files; the caller closes it.
func openBlobs(ctx context.Context, dir DataDir, config *BlobsConfig) (_ blob.Store, closeStore func() error, err error) {
	marked, err := isThere(dir.File(blobsMark))
	if err != nil {
		return nil, nil, err
	}
	if config == nil {
		if marked {
			return nil, nil, ErrBlobsElsewhere
		}
		s, err := folder.Open(dir.File(BlobsFolder))
		return s, func() error { return nil }, err
	}
	if here, err := dir.keepsFiles(); err != nil {
		return nil, nil, err
	} else if here {
		return nil, nil, ErrBlobsHere
	}
	s, err := openBucket(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(dir.File(blobsMark), []byte("The files of this directory's documents lie in a bucket.\n"), 0o600); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("data directory: %w", files.Cause(err)), s.Close())
	}
	return s, s.Close, nil
}

func openBucket(ctx context.Context, config *BlobsConfig) (*s3.Store, error) {
	o := s3.Options{Endpoint: config.Endpoint, Region: config.Region, Bucket: config.Bucket, Prefix: config.Prefix, AccessKey: config.AccessKey}
	secret, err := files.ReadSmall(config.SecretKeyFile)
	if err != nil {
		return nil, fmt.Errorf("COFFRE_BLOBS_SECRET_KEY_FILE: %w", err)
	}
	if o.SecretKey = strings.TrimSpace(string(secret)); o.SecretKey == "" {
		return nil, errors.New("COFFRE_BLOBS_SECRET_KEY_FILE: it holds no secret")
	}
	if config.CAFile != "" {
		if o.RootCAs, err = Trusted(config.CAFile); err != nil {
			return nil, fmt.Errorf("COFFRE_BLOBS_CA_FILE: %w", err)
		}
	}
	return s3.Open(ctx, o)
}

// looked is how many files are looked for at a start.
const looked = 3

// compareFiles tells the operator when no file that the key database names lately lies where
// this process keeps files: another process, or a former one, keeps them elsewhere. It refuses
// nothing: a store that lost files is no reason to serve none of the documents.
func (a *assembly) compareFiles(ctx context.Context) error {
	named, err := seal.LastStoredFiles(ctx, a.places.keys, looked)
	if err != nil {
		return fmt.Errorf("compare files: %w", err)
	}
	if len(named) == 0 {
		return nil
	}
	for _, id := range named {
		content, err := a.files.Open(ctx, id.UUID, 0)
		switch {
		case errors.Is(err, blob.ErrNotFound):
			continue
		case err != nil: // nobody can tell while it is away
			return nil
		}
		return content.Close()
	}
	a.o.Logger.ErrorContext(ctx, "the files of the last documents are not where this process looks for them: its COFFRE_BLOBS is not that of the other processes on these keys, or names another bucket than before",
		slog.Int("files", len(named)))
	return nil
}

// keepsFiles reports whether any file lies in the directory's own folder for them.
func (d DataDir) keepsFiles() (here bool, err error) {
	err = backup.Folder(d.File(BlobsFolder)).Walk(context.Background(), func(string, int64, func() (io.ReadCloser, error)) error {
		here = true
		return fs.SkipAll
	})
	if err != nil {
		return false, fmt.Errorf("data directory: %w", files.Cause(err))
	}
	return here, nil
}
