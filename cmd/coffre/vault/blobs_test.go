package vault

import (
	"strings"
	"testing"
)

func TestBlobsFromEnv(t *testing.T) {
	from := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if "COFFRE_BLOBS"+pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	whole := []string{"", "s3://files/coffre/", "_ENDPOINT", "https://s3.example", "_REGION", "eu", "_ACCESS_KEY", "a", "_SECRET_KEY_FILE", "/run/s", "_CA_FILE", "/run/ca"}
	c, err := FromEnv(from(whole...))
	if want := (BlobsConfig{Bucket: "files", Prefix: "coffre/", Endpoint: "https://s3.example", Region: "eu", AccessKey: "a", SecretKeyFile: "/run/s", CAFile: "/run/ca"}); err != nil || *c.Blobs != want {
		t.Errorf("%+v %v", c.Blobs, err)
	}
	if c, err := FromEnv(from()); err != nil || c.Blobs != nil {
		t.Errorf("%+v %v", c.Blobs, err)
	}
	for _, tc := range []struct {
		pairs []string
		says  []string
	}{
		{[]string{"_ENDPOINT", "https://s3.example"}, []string{"COFFRE_BLOBS is not"}},
		{[]string{"", "s3://files"}, []string{"COFFRE_BLOBS_ENDPOINT", "COFFRE_BLOBS_ACCESS_KEY", "COFFRE_BLOBS_SECRET_KEY_FILE"}},
		{append([]string{"", "/var/files"}, whole[2:]...), []string{"s3://BUCKET"}},
		{append([]string{"", "s3://"}, whole[2:]...), []string{"s3://BUCKET"}},
		{append([]string{"", "s3://files/prefix"}, whole[2:]...), []string{"s3://BUCKET"}},
	} {
		_, err := FromEnv(from(tc.pairs...))
		for _, says := range tc.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v", tc.pairs[:2], err)
			}
		}
	}
}
