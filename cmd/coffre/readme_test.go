package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tour is the block of the README that a newcomer types.
var tour = regexp.MustCompile("(?s)## Try it\n\n```sh\nmake build\n(.*?)```")

// TestReadmeIsRunAsItStands types the README's tour into a shell: sh and curl are all it needs.
// Only the port is another one, and the program is built beside the data.
func TestReadmeIsRunAsItStands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := tour.FindSubmatch(text)
	if block == nil {
		t.Fatal("the README has no tour")
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "coffre"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	address := freeAddress(t)
	script := strings.ReplaceAll(string(block[1]), "127.0.0.1:8080", address)
	if strings.Count(script, address) < 3 {
		t.Fatalf("another port is named:\n%s", script)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", "trap 'kill $! 2>/dev/null || true' EXIT\n"+script+"wait")
	cmd.Dir = dir
	var said, words strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &words
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, said.String(), words.String())
	}
	for _, word := range []string{`"documentId":"`, "Acte de mariage", "valable"} {
		if !strings.Contains(said.String(), word) {
			t.Errorf("%q was not said:\n%s\n%s", word, said.String(), words.String())
		}
	}
}

// The README names every command there is, and no other.
func TestReadmeNamesEveryCommand(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile("(?m)^`coffre ([a-z |]+)`, each with `--help`").FindSubmatch(text)
	if line == nil {
		t.Fatal("the README lists no commands")
	}
	listed := strings.Split(string(line[1]), " | ")
	root, _ := newRoot(newProgram(terminal{}))
	var there []string
	for _, c := range root.Commands() {
		there = append(there, c.Name())
	}
	slices.Sort(listed)
	slices.Sort(there)
	if !slices.Equal(listed, there) {
		t.Errorf("the README lists %q, and there are %q", listed, there)
	}
}
