//go:build amd64 || arm64

package disk

import (
	"bytes"
	"database/sql"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"
)

const scripted = "SIPEAT_PROOF_SCRIPT" // the script that this binary then runs in its working folder

func TestMain(m *testing.M) {
	Launch()
	if script := os.Getenv(scripted); script != "" {
		scripts[script].run()
		return
	}
	m.Run()
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func appendTo(name, text string, flags int) *os.File {
	f := must(os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY|flags, 0o600))
	must(f.WriteString(text))
	return f
}

func syncFolder(name string) {
	f := must(os.Open(name))
	check(f.Sync())
	check(f.Close())
}

// scripts are programs, and what a power cut leaves of what they did in a folder that has the file "before".
var scripts = map[string]struct {
	run  func()
	want map[string]string
}{
	"file synced, folder not": {func() { check(appendTo("a", "text", 0).Sync()) }, map[string]string{}},
	"folder synced, file not": {func() { appendTo("a", "text", 0); syncFolder(".") }, map[string]string{"a": ""}},
	"both synced": {func() {
		f := appendTo("a", "text", 0)
		check(f.Sync())
		syncFolder(".")
		must(f.WriteString(" that is not synced"))
	}, map[string]string{"a": "text"}},
	"fdatasync": {func() {
		check(syscall.Fdatasync(int(appendTo("a", "1", 0).Fd())))
		syncFolder(".")
	}, map[string]string{"a": "1"}},
	"written with O_SYNC": {func() { appendTo("a", "text", os.O_SYNC); syncFolder(".") }, map[string]string{"a": "text"}},
	"sync_file_range": {func() {
		f := appendTo("a", "text", 0)
		const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
		check(unix.SyncFileRange(int(f.Fd()), 0, 4, all))
		syncFolder(".")
	}, map[string]string{"a": ""}},
	"another descriptor of the file": {func() {
		appendTo("a", "text", 0)
		check(must(os.OpenFile("a", os.O_RDWR, 0)).Sync())
		syncFolder(".")
	}, map[string]string{"a": "text"}},
	"new folder, its parent not synced": {func() {
		check(os.Mkdir("new", 0o700))
		check(appendTo("new/a", "text", 0).Sync())
		syncFolder("new")
	}, map[string]string{}},
	"replaced, folder not synced": {func() {
		check(appendTo("before.tmp", "new", 0).Sync())
		check(os.Rename("before.tmp", "before"))
	}, map[string]string{"before": "old"}},
	"replaced": {func() {
		check(appendTo("before.tmp", "new", 0).Sync())
		check(os.Rename("before.tmp", "before"))
		syncFolder(".")
	}, map[string]string{"before": "new"}},
	"replaced by a file that is not synced": {func() {
		appendTo("before.tmp", "new", 0)
		check(os.Rename("before.tmp", "before"))
		syncFolder(".")
	}, map[string]string{"before": ""}},
	"overwritten": {func() {
		f := must(os.OpenFile("before", os.O_RDWR, 0))
		must(f.WriteAt([]byte("x"), 1))
		check(f.Sync())
		must(f.WriteAt([]byte("y"), 0))
	}, map[string]string{"before": "oxd"}},
	"truncated": {func() {
		check(must(os.OpenFile("before", os.O_RDWR|os.O_TRUNC, 0)).Sync())
	}, map[string]string{"before": ""}},
	"truncated, no sync": {func() { must(os.Create("before")) }, map[string]string{"before": "old"}},
	"extended": {func() {
		f := must(os.OpenFile("before", os.O_RDWR, 0))
		check(f.Truncate(5))
		check(f.Sync())
	}, map[string]string{"before": "old\x00\x00"}},
	"another name":          {func() { check(os.Link("before", "a")); syncFolder(".") }, map[string]string{"a": "old"}},
	"another name, no sync": {func() { check(os.Link("before", "a")) }, map[string]string{}},
	"removed, no sync":      {func() { check(os.Remove("before")) }, map[string]string{"before": "old"}},
	"removed":               {func() { check(os.Remove("before")); syncFolder(".") }, map[string]string{"before": "-"}},
	"a temporary file": {func() {
		f := must(os.CreateTemp(".", "a"))
		check(f.Close())
		check(os.Remove(f.Name()))
		syncFolder(".")
	}, map[string]string{}},
	"a position of its own": {func() {
		f := must(os.OpenFile("before", os.O_RDWR, 0))
		must(f.Read(make([]byte, 2)))
		must(f.WriteString("D"))
		check(f.Sync())
	}, map[string]string{"before": "olD"}},
	"SQLite": {func() {
		db := must(sql.Open("sqlite", "file:db?_pragma=journal_mode(wal)&_pragma=synchronous(full)"))
		must(db.Exec("CREATE TABLE t (n); INSERT INTO t VALUES (1)"))
		must(db.Exec("PRAGMA synchronous = off; INSERT INTO t VALUES (2)"))
	}, nil},
}

// begin runs a script in a folder and waits until it has ended, or was killed.
func runScript(t *testing.T, d *Disk, name string) error {
	t.Helper()
	c := exec.Command(must(os.Executable()))
	c.Dir, c.Env = d.Root, append(os.Environ(), scripted+"="+name)
	var output bytes.Buffer
	c.Stdout, c.Stderr = &output, &output
	begin, err := d.Prepare(c)
	require.NoError(t, err)
	require.NoError(t, c.Start())
	if err := begin(); err != nil {
		_ = c.Wait()
		require.NoError(t, err, output.String())
	}
	err = c.Wait()
	if output.Len() > 0 {
		t.Log(output.String())
	}
	return err
}

func folder(t *testing.T) *Disk {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "before"), []byte("old"), 0o600))
	d, err := Open(dir)
	require.NoError(t, err)
	return d
}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all[must(filepath.Rel(dir, path))] = string(must(os.ReadFile(path)))
		}
		return err
	}))
	return all
}

func TestAPowerCutLeavesWhatWasSynced(t *testing.T) {
	t.Parallel()
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := folder(t)
			require.NoError(t, runScript(t, d, name))
			image := filepath.Join(t.TempDir(), "image")
			torn, err := d.Image(image, nil)
			require.NoError(t, err)
			require.NoError(t, d.Err())
			assert.Zero(t, torn)
			if name == "SQLite" {
				db := must(sql.Open("sqlite", filepath.Join(image, "db")))
				defer db.Close()
				var rows int
				require.NoError(t, db.QueryRow("SELECT count(*) FROM t").Scan(&rows))
				assert.Equal(t, 1, rows)
				return
			}
			want := map[string]string{"before": "old"}
			for file, text := range script.want {
				want[file] = text
				if text == "-" {
					delete(want, file)
				}
			}
			assert.Equal(t, want, content(t, image))
		})
	}
}

// What was not synced is there or not, or torn.
func TestTornImages(t *testing.T) {
	t.Parallel()
	d := folder(t)
	require.NoError(t, runScript(t, d, "both synced"))
	random := rand.New(rand.NewPCG(1, 2))
	const all = "text that is not synced"
	seen := map[string]bool{}
	for n := range 200 {
		image := filepath.Join(t.TempDir(), fmt.Sprint(n))
		torn, err := d.Image(image, random)
		require.NoError(t, err)
		assert.Equal(t, 1, torn)
		text := content(t, image)["a"]
		require.Regexp(t, "^text", text)
		require.True(t, strings.HasPrefix(all, text), text)
		seen[text] = true
	}
	assert.Len(t, seen, len(" that is not synced")+1)
}

func TestKillsAtACall(t *testing.T) {
	t.Parallel()
	for op, want := range map[string]string{"sync": "-", "synced": "text"} { // before the first sync, and behind the second
		d := folder(t)
		seen := 0
		d.SyncTime = func() time.Duration { return time.Millisecond }
		d.Observe = func(e Event) bool {
			if e.Op == op {
				seen++
			}
			return e.Op == op && (op == "sync" || seen == 2)
		}
		err := runScript(t, d, "both synced")
		require.ErrorContains(t, err, "killed")
		image := filepath.Join(t.TempDir(), "image")
		_, err = d.Image(image, nil)
		require.NoError(t, err)
		got, there := content(t, image)["a"]
		if !there {
			got = "-"
		}
		assert.Equal(t, want, got)
	}
}

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	d := folder(t)
	d.SetFree(3)
	require.Error(t, runScript(t, d, "both synced"))
	assert.Equal(t, "tex", content(t, d.Root)["a"], "as much as fits")
	require.NoError(t, os.Remove(filepath.Join(d.Root, "a")))
}
