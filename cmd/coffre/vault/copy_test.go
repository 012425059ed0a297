package vault

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"testing"

	"coffre/eventstore/blob/s3/s3test"
)

// A folder from before the bucket, with nothing in it, is not taken for the files.
func TestCopyLooksForFilesInTheBucket(t *testing.T) {
	server := s3test.Start(t)
	bucket := server.Bucket(t)
	ca, secret := server.Files(t, bucket)
	config := &BlobsConfig{Bucket: bucket.Bucket, Prefix: bucket.Prefix, Endpoint: bucket.Endpoint, Region: bucket.Region, AccessKey: bucket.AccessKey, SecretKeyFile: secret, CAFile: ca}
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{Blobs: config})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Close(), os.Mkdir(dir.File(BlobsFolder), 0o700)); err != nil {
		t.Fatal(err)
	}
	var closers []func() error
	source, err := CopyEnd{dir, StoresConfig{}.In(dir)}.open(t.Context(), Config{Blobs: config}, slog.New(slog.DiscardHandler), func(f func() error) { closers = append(closers, f) })
	for _, f := range slices.Backward(closers) {
		err = errors.Join(err, f())
	}
	if err != nil || !source.bucket {
		t.Errorf("a copy looks for files in the folder: %v", err)
	}
}
