package main

import (
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
)

var commandsOfPage = regexp.MustCompile(`(?s)<pre class="wide commands" tabindex="0">(.*?)</pre>`)

// The page "connect in an hour" leads from nothing to a first answer: its commands are typed into a
// shell as the page has them. Only the port is another one.
func TestConnectPageIsRunAsItStands(t *testing.T) {
	t.Parallel()
	v, err := vault.Open(t.Context(), vault.DataDir(t.TempDir()), vault.Options{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	asked := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/doc/connect", nil)
	asked.RemoteAddr = "127.0.0.1:50000"
	page := httptest.NewRecorder()
	v.Handler().ServeHTTP(page, asked)
	var script strings.Builder
	for _, block := range commandsOfPage.FindAllStringSubmatch(page.Body.String(), -1) {
		script.WriteString(html.UnescapeString(block[1]) + "\n")
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "coffre"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	address := freeAddress(t)
	commands := strings.ReplaceAll(script.String(), "127.0.0.1:8080", address)
	if strings.Count(commands, address) != 2 {
		t.Fatalf("%d: the page has other commands:\n%s", page.Code, commands)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", "trap 'kill $! 2>/dev/null || true' EXIT\n"+commands+"wait")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	var said, words strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &words
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, said.String(), words.String())
	}
	for _, word := range []string{`"documentId":"`, `"content":{"householdSize":2}`, ":consentOtherPurpose", "School allowance", "Belgian Railways", "refused: consentOtherPurpose"} {
		if !strings.Contains(said.String(), word) {
			t.Errorf("%q was not said:\n%s\n%s", word, said.String(), words.String())
		}
	}
	if contract, err := os.ReadFile(filepath.Join(dir, "openapi.yaml")); err != nil || !strings.Contains(string(contract), "operationId: issueDocument\n") {
		t.Errorf("the contract was not fetched: %v", err)
	}
}
