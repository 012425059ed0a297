package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
)

const composed = "../../deploy/compose.yaml"

// composeService is a service of deploy/compose.yaml, as far as a test runs it.
type composeService struct {
	Image       string
	Command     []string
	Entrypoint  []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	NetworkMode string `yaml:"network_mode"`
	Healthcheck struct{ Test []string }
}

// workstation is deploy/compose.yaml without containers: its processes are started by their own
// command lines, with folders of the test where the file mounts volumes, and free ports of loopback
// where it names some.
type workstation struct {
	t        *testing.T
	services map[string]composeService
	text     string
	volumes  string            // folder in which each volume is one
	ports    map[string]string // those of the file, and what stands for them
	more     []string          // environment of every process
	running  map[string]*exec.Cmd
	wait     sync.WaitGroup
}

// readCompose reads the file, with nothing in the environment that it asks.
func readCompose(t *testing.T) (text string, services map[string]composeService) {
	t.Helper()
	text = readFile(t, composed)
	plain := regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`).ReplaceAllString(text, "$1")
	var file struct{ Services map[string]composeService }
	if err := yaml.Unmarshal([]byte(plain), &file); err != nil {
		t.Fatal(err)
	}
	return text, file.Services
}

func newWorkstation(t *testing.T) *workstation {
	t.Helper()
	w := &workstation{t: t, volumes: t.TempDir(), ports: map[string]string{}, running: map[string]*exec.Cmd{}}
	w.text, w.services = readCompose(t)
	for _, s := range w.services {
		for _, v := range s.Volumes {
			if name, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(name, ".") {
				if err := os.MkdirAll(filepath.Join(w.volumes, name), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Cleanup(func() {
		for _, cmd := range w.running {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what one leaves behind is in the test's folders
		}
		w.wait.Wait()
		if t.Failed() {
			w.tell()
		}
	})
	return w
}

// here returns a text of a service with the places and addresses of this test.
func (w *workstation) here(name, text string) string {
	w.t.Helper()
	for _, v := range w.services[name].Volumes {
		from, target, _ := strings.Cut(v, ":")
		target, _, _ = strings.Cut(target, ":")
		to := filepath.Join(w.volumes, from)
		if strings.HasPrefix(from, ".") {
			to = must1(filepath.Abs(filepath.Join(filepath.Dir(composed), from)))
		}
		text = regexp.MustCompile(`(^|=)`+regexp.QuoteMeta(target)+`(/|$)`).ReplaceAllString(text, "${1}"+to+"${2}")
	}
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllStringFunc(text, func(at string) string {
		if w.ports[at] == "" {
			w.ports[at] = freeAddress(w.t)
		}
		return w.ports[at]
	})
}

// command returns the command line of a service as a process of this machine.
func (w *workstation) command(name string) *exec.Cmd {
	w.t.Helper()
	s := w.services[name]
	words := slices.Concat(s.Entrypoint, s.Command)
	for i, word := range words {
		words[i] = w.here(name, word)
	}
	own := slices.Concat(os.Environ(), w.more)
	if len(s.Entrypoint) == 0 { // the image's own, which is this program
		words = slices.Insert(words, 0, must1(os.Executable()))
		own = append(own, asProgram+"=1")
	}
	cmd := exec.Command(words[0], words[1:]...)
	for name, value := range s.Environment {
		own = append(own, name+"="+value)
	}
	for i, pair := range own[len(os.Environ())+len(w.more):] {
		variable, value, _ := strings.Cut(pair, "=")
		own[len(os.Environ())+len(w.more)+i] = variable + "=" + w.here(name, value)
	}
	if _, given := s.Environment["OWNER"]; given {
		own = append(own, fmt.Sprintf("OWNER=%d:%d", os.Getuid(), os.Getgid()))
	}
	cmd.Env = own
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// once runs a service that ends, and must end well.
func (w *workstation) once(name string) {
	w.t.Helper()
	cmd := w.command(name)
	in, err := cmd.StdinPipe() // whose end ends the program
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()
	if said, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", name, err, said)
	}
}

// start starts a service that goes on.
func (w *workstation) start(name string) {
	w.t.Helper()
	cmd := w.command(name)
	said, err := os.OpenFile(w.said(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	if _, err := cmd.StdinPipe(); err != nil { // whose end ends the program
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.running[name] = cmd
	w.wait.Go(func() { _ = cmd.Wait() }) // how it ended shows in what it said
}

func (w *workstation) said(name string) string { return filepath.Join(w.volumes, name+".said") }

// tell logs the end of what each service said.
func (w *workstation) tell() {
	w.t.Helper()
	for name := range w.services {
		if said, err := os.ReadFile(w.said(name)); err == nil {
			w.t.Logf("%s said\n%s", name, said[max(0, len(said)-3000):])
		}
	}
}

// stop ends a service as a container is ended.
func (w *workstation) stop(name string) {
	cmd := w.running[name]
	delete(w.running, name)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		w.t.Error(err)
	}
	if err := poll(context.WithoutCancel(w.t.Context()), func() (bool, time.Time, error) {
		return errors.Is(syscall.Kill(-cmd.Process.Pid, 0), syscall.ESRCH), time.Time{}, nil
	}); err != nil {
		w.t.Error(err)
	}
}

// until waits for something that takes a while.
func (w *workstation) until(what string, look func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), blockIn)
	defer cancel()
	if err := poll(ctx, func() (bool, time.Time, error) { return look(), time.Time{}, nil }); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// database makes the server and the database that the service postgres makes. Its roles have
// passwords here, where loopback is everybody's.
func (w *workstation) database() (protect func()) {
	w.t.Helper()
	s := w.services["postgres"]
	server := pgtest.Start(w.t)
	super := must1(url.Parse(server.Superuser(w.t, server.Database(w.t))))
	w.ports["127.0.0.1:5432"] = super.Host
	db, err := pgdb.Open(super.String(), pgdb.Options{Schema: "public", Conns: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	exec := func(statement string) {
		w.t.Helper()
		if _, err := db.Exec(statement); err != nil {
			w.t.Fatal(err)
		}
	}
	password := uuid.NewString()
	w.more = append(w.more, "PGPASSWORD="+password)
	exec(`CREATE ROLE ` + s.Environment["POSTGRES_USER"] + ` SUPERUSER LOGIN PASSWORD '` + password + `'`)
	exec(`CREATE DATABASE ` + s.Environment["POSTGRES_DB"] + ` OWNER ` + s.Environment["POSTGRES_USER"])
	return func() {
		for _, word := range w.services["tables"].Command {
			if name, ok := strings.CutPrefix(word, "--"); ok && strings.Contains(name, "role=") {
				_, role, _ := strings.Cut(name, "=")
				exec(`ALTER ROLE ` + role + ` PASSWORD '` + password + `'`)
			}
		}
	}
}

// program puts the programs of Vault's image into the path.
func (w *workstation) program() {
	w.t.Helper()
	bin := w.t.TempDir()
	if err := os.Symlink(must1(vaulttest.Binary(w.t.Context())), filepath.Join(bin, "vault")); err != nil {
		w.t.Fatal(err)
	}
	w.more = append(w.more, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+bin, "FOLDERS="+w.volumes,
		"PROVISIONED="+w.provisioned(), "VAULT_TOKEN=", "VAULT_CACERT=", "VAULT_NAMESPACE=")
}

func (w *workstation) provisioned() string { return filepath.Join(w.volumes, "provisioned") }

// openVault starts Vault, and waits as its healthcheck does.
func (w *workstation) openVault() {
	w.t.Helper()
	w.start("vault")
	w.until("Vault is prepared", func() bool { _, err := os.Stat(w.provisioned()); return err == nil })
}

// The workstation's services come up from nothing, by their own command lines on a real PostgreSQL
// and a real Vault: a document that is issued through one process is there through the other, a
// token of either directory counts at both, and a Vault that was stopped is unsealed again.
func TestWorkstation(t *testing.T) {
	t.Parallel()
	w := newWorkstation(t)
	w.program()
	protect := w.database()
	w.once("folders")
	for _, name := range []string{"one", "two"} { // where a volume lies within another one
		if err := os.Symlink(filepath.Join(w.volumes, "files"), filepath.Join(w.volumes, name, "vault", "blobs")); err != nil {
			t.Fatal(err)
		}
	}
	w.openVault()
	w.once("tables")
	protect()
	served := map[string]string{"one": "http://" + w.here("one", "127.0.0.1:8081"), "two": "http://" + w.here("two", "127.0.0.1:8082")}
	for _, name := range []string{"one", "two", "destroyer", "rotator"} {
		w.start(name)
	}
	for name, at := range served {
		w.until(name+" is ready", func() bool {
			r, err := http.Get(at + "/readyz")
			return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
		})
	}

	s := &shell{t: t}
	data := map[string]string{}
	for name := range served {
		data[name] = w.here(name, "/data/vault")
	}
	issuer := func(name string) string {
		return file(t, "issuer", s.must(0, "token", "--data", data[name], "--role", "issuer", "--org", "0206731645").out)
	}
	for from, to := range map[string]string{"one": "two", "two": "one"} {
		body := fmt.Sprintf(`{"ssin":"53480200724","documentType":"isiPlusCard","sourceReference":"workstation-%s","validFrom":"2026-01-01","content":{"name":"An Example","birthDate":"1953-08-02"}}`, from)
		r := must1(http.NewRequestWithContext(t.Context(), http.MethodPost, served[from]+"/vault/v1/documents", strings.NewReader(body)))
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(readFile(t, issuer(to)))) // of the other's directory
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", uuid.NewString())
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		id := regexp.MustCompile(`"documentId"\s*:\s*"([^"]+)"`).FindStringSubmatch(bodyOf(t, answer))
		if answer.StatusCode != http.StatusCreated || id == nil {
			t.Fatalf("%s issues nothing: %d", from, answer.StatusCode)
		}
		if got := s.must(0, "documents", "show", "--url", served[to], "--token-file", issuer(to), id[1]); !strings.Contains(got.out, "An Example") {
			t.Errorf("%s does not show what %s issued: %s", to, from, got.out)
		}
	}

	w.stop("vault")
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.ports["127.0.0.1:8200"]); err == nil {
		t.Fatal("Vault was not stopped")
	}
	w.openVault()
	for _, name := range []string{"one", "two", "destroyer", "rotator"} {
		w.until(name+" is well again", func() bool {
			return strings.Contains(s.run("health", "--data", w.here(name, "/data/vault")).out, "UP")
		})
	}
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r.Body); err != nil {
		t.Error(err)
	}
	if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
	return b.String()
}

// What the file publishes is this machine's own, what stands beside it names the addresses at which
// the processes listen, and no image or secret is left to chance.
func TestWorkstationNamesWhatIsThere(t *testing.T) {
	text, services := readCompose(t)
	if len(services) < 10 {
		t.Fatalf("%d services", len(services))
	}
	proxy, scraped := readFile(t, "../../deploy/compose/haproxy.cfg"), readFile(t, "../../deploy/compose/prometheus.yaml")
	listened := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s := services[name]
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") || s.NetworkMode != "" {
				t.Errorf("%s publishes %s", name, p)
			}
		}
		if !regexp.MustCompile(`^(coffre:workstation|docker\.io/[a-z]+/[a-z]+:v?\d+\.\d+[.\w-]*)$`).MatchString(s.Image) {
			t.Errorf("%s is of the image %q", name, s.Image)
		}
		if name != "gate" && name != "folders" && s.NetworkMode != "service:gate" {
			t.Errorf("the network of %s is %q", name, s.NetworkMode)
		}
		for _, word := range s.Command {
			for flag, where := range map[string]string{"--listen=": proxy, "--ops-listen=": scraped} {
				if at, ok := strings.CutPrefix(word, flag); ok {
					listened[at] = true
					if !strings.Contains(where, at) {
						t.Errorf("nobody asks %s at %s", name, at)
					}
				}
			}
		}
		for variable, value := range s.Environment {
			if hasPassword(value) && strings.Contains(value, "://") || strings.Contains(cmp.Or(variable, value), "PASSWORD") {
				t.Errorf("%s is told a secret: %s", name, variable)
			}
		}
	}
	for _, at := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(proxy+scraped, -1) {
		if !listened[at] {
			t.Errorf("nobody listens at %s", at)
		}
	}
	for _, p := range services["gate"].Ports {
		inner := p[strings.LastIndex(p, ":")+1:]
		if inner != "9090" && inner != "3000" && !strings.Contains(proxy, "bind :"+inner+"\n") {
			t.Errorf("the proxy does not listen at %s", inner)
		}
	}
	typed := regexp.MustCompile(`compose\.yaml exec (\w+) /usr/bin/coffre (.+)`).FindStringSubmatch(text)
	if typed == nil || !slices.Contains(slices.Collect(maps.Keys(services)), typed[1]) {
		t.Fatalf("the file says no command to try: %q", typed)
	}
	rightlyTyped(t, composed, typed[2], true)
	if strings.Contains(text, "latest") {
		t.Error("an image is whichever is the latest")
	}
}
