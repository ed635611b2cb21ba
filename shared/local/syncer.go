package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// syncer syncs what kfake has written, for all connections at once. kfake's own option syncs each batch, then its index, and
// handles no other request meanwhile.
//
// It finds what to sync by comparing the files with what they were when they were last synced. What was appended to segments goes
// to the journal.
type syncer struct {
	root            string
	log             *slog.Logger
	fsync, datasync func(*os.File) error

	unjournaled atomic.Int64 // until this Unix time in nanoseconds, see suspendJournal
	lost        atomic.Bool  // an answer, see errUnwritten

	mu   sync.Mutex
	next *pass // that has not begun
	err  error // of the last pass

	turn    sync.Mutex // held by the pass that runs; guards what follows
	folder  *folder    // root
	journal *journal   // nil = none, or not yet
	failed  bool       // the last pass
}

type pass struct {
	done chan struct{}
	err  error
}

// errSync marks errors after which nothing can be synced any more.
var errSync = errors.New("restart when the disk is in order")

// errUnwritten: kfake notes the sequence numbers of a batch before it fails to write it. If the client gets no answer and sends
// the batch again, kfake takes it for a repeat and acknowledges it unwritten. A restart takes the numbers from the log.
var errUnwritten = fmt.Errorf("a batch could not be written, and its client not be answered (%w)", errSync)

func newSyncer(root string, log *slog.Logger) *syncer {
	return &syncer{root: root, log: log, fsync: (*os.File).Sync, datasync: datasync, folder: newFolder(root)}
}

// Sync returns once all that was written before the call is on the disk. Callers share a pass that begins after the last of them
// has called.
//
// Once a file could not be synced, it fails for good: the operating system drops the pages that it failed to write, and a second
// try would succeed without them (https://wiki.postgresql.org/wiki/Fsync_Errors).
func (s *syncer) Sync() error {
	s.mu.Lock()
	p := s.next
	if p != nil {
		s.mu.Unlock()
		<-p.done
		return p.err
	}
	p = &pass{done: make(chan struct{})}
	s.next = p
	s.mu.Unlock()

	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	s.next = nil
	p.err = s.err
	s.mu.Unlock()
	if !errors.Is(p.err, errSync) {
		before := p.err
		if p.err = s.run(); p.err != nil && before == nil {
			s.log.Error("embedded broker: cannot sync its files, so it acknowledges nothing", "error", p.err)
		}
	}
	s.mu.Lock()
	s.err = p.err
	s.mu.Unlock()
	close(p.done)
	return p.err
}

// Err is the error of the last pass.
func (s *syncer) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *syncer) run() error {
	if s.lost.Load() {
		return errUnwritten
	}
	c := changes{grown: map[string]growth{}}
	err := s.folder.collect(&c)
	if err == nil {
		err = s.journalOrSync(&c)
	}
	if err == nil && len(c.replaced) > 0 {
		err = s.keepStateLogs(c.replaced)
	}
	if err != nil {
		s.folder.close()
		s.folder, s.failed = newFolder(s.root), true // look at everything again
		return err
	}
	s.failed = false
	for _, synced := range c.synced {
		synced()
	}
	return nil
}

// maxJournaled is how much may be appended since the last pass to go through the journal, which writes it twice.
const maxJournaled = 1 << 20

// journalOrSync syncs the changes, what was appended to segments by the journal.
func (s *syncer) journalOrSync(c *changes) error {
	if s.journal == nil {
		return s.sync(append(c.paths, slices.Collect(maps.Keys(c.grown))...)...)
	}
	direct := c.appended > maxJournaled || time.Now().UnixNano() < s.unjournaled.Load()
	if s.failed || direct || c.rewritten || s.journal.at > s.journal.limit {
		if err := s.checkpoint(); err != nil {
			return err
		}
	}
	var pieces []piece
	for path, g := range c.grown {
		if direct {
			c.paths = append(c.paths, path)
			continue
		}
		p, err := readPiece(s.root, path, g.from, g.to)
		if err != nil {
			return err
		}
		if p != nil {
			pieces = append(pieces, *p)
		}
	}
	if len(pieces) > 0 { // before a new segment is synced: the log must not lack the end of the one before it
		if err := s.journal.append(pieces); err != nil {
			return err
		}
	}
	return s.sync(c.paths...)
}

// suspendJournal is called when a segment may become another one that looks like the same one grown. For a while whole files are
// synced, and the journal is emptied before that.
func (s *syncer) suspendJournal() { s.unjournaled.Store(time.Now().Add(time.Minute).UnixNano()) }

// StartJournal returns once all is synced, and what is appended later goes to the journal.
func (s *syncer) StartJournal() error {
	if err := s.Sync(); err != nil {
		return err
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	var err error
	if s.journal, err = openJournal(s.root, s.datasync); err != nil && !errors.Is(err, errSync) {
		s.log.Warn("embedded broker: starting without its journal, which makes it slower", "error", err)
		err = present(os.Remove(journalFile(s.root))) // an old one must not be restored any more
	}
	return cmp.Or(err, s.sync(s.root))
}

// Close syncs all files.
func (s *syncer) Close() error {
	err := s.Sync()
	s.turn.Lock()
	defer s.turn.Unlock()
	s.folder.close()
	if s.journal == nil {
		return err
	}
	if err == nil {
		err = s.checkpoint()
	}
	return errors.Join(err, s.journal.file.Close())
}

// checkpoint syncs the files whose end is in the journal, and empties it.
func (s *syncer) checkpoint() error {
	paths := slices.Collect(maps.Keys(s.journal.pending))
	for i, path := range paths {
		paths[i] = filepath.Join(s.root, path)
	}
	if err := s.sync(paths...); err != nil {
		return err
	}
	return s.journal.reset()
}

func (s *syncer) sync(paths ...string) error {
	var all errgroup.Group
	all.SetLimit(32)
	for _, path := range paths {
		all.Go(func() error { return s.syncFile(path) })
	}
	return all.Wait()
}

func (s *syncer) syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return present(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() && runtime.GOOS == "windows" { // which cannot sync folders
		return nil
	}
	if err := s.fsync(f); err != nil {
		return fmt.Errorf("sync %s: %w (%w)", path, err, errSync)
	}
	return nil
}

// syncedSuffix ends the name of the link to a state log's file that is synced. kfake replaces that file by one that is not; if
// the power fails then, restoreStateLog puts this one back.
const syncedSuffix = ".synced"

// keepStateLogs moves the links to the files that are now synced.
func (s *syncer) keepStateLogs(paths []string) error {
	for _, path := range paths {
		link := path + syncedSuffix
		if err := present(os.Remove(link)); err != nil {
			return err
		}
		_ = os.Link(path, link) // the file system may have none
	}
	return s.sync(s.root)
}

// restoreStateLog replaces a state log by the file that was last synced, if that is another.
func restoreStateLog(path string) error {
	kept, err := os.Stat(path + syncedSuffix)
	if err != nil {
		return present(err)
	}
	if now, err := os.Stat(path); err == nil && os.SameFile(kept, now) {
		return nil
	}
	return os.Rename(path+syncedSuffix, path)
}

type changes struct {
	paths     []string
	replaced  []string          // state logs that are new files
	grown     map[string]growth // segments by path, to which kfake has only appended
	appended  int64             // bytes
	rewritten bool              // a segment changed in another way
	synced    []func()          // to be called once all is synced
}

type growth struct{ from, to int64 } // sizes

// folder is a folder as it was when it was last synced.
type folder struct {
	path     string
	modified time.Time
	racy     bool                   // it was listed so soon after a change that a later one may have the same time
	files    map[string]fs.FileInfo // by name
	folders  map[string]*folder     // by name
	growing  []string               // names of the files that kfake appends to
	open     map[string]*os.File    // by name, see stat
}

func newFolder(path string) *folder {
	return &folder{path: path, racy: true, files: map[string]fs.FileInfo{}, folders: map[string]*folder{},
		open: map[string]*os.File{}}
}

// stat is [os.Stat] of a file in the folder, or of the folder itself, by a file that stays open until something is made,
// replaced or deleted here or further up: to look at all segments, as each sync does, then takes a third of the time.
func (d *folder) stat(name string) (fs.FileInfo, error) {
	path := filepath.Join(d.path, name)
	if d.racy || runtime.GOOS == "windows" { // where no file can be deleted that is open
		return os.Stat(path)
	}
	f := d.open[name]
	if f == nil {
		var err error
		if f, err = os.Open(path); err != nil {
			return os.Stat(path)
		}
		d.open[name] = f
	}
	return f.Stat()
}

// close closes the files that are open here and in the folders below.
func (d *folder) close() {
	for name, f := range d.open {
		_ = f.Close()
		delete(d.open, name)
	}
	for _, sub := range d.folders {
		sub.close()
	}
}

// timePrecision is that of the coarsest times of changes, FAT's.
const timePrecision = 2 * time.Second

// collect adds the files that differ from what was synced, and the folders in which something was made or replaced.
func (d *folder) collect(c *changes) error {
	info, err := d.stat(".")
	if err != nil {
		return present(err)
	}
	look, made := d.growing, false
	if d.racy || !info.ModTime().Equal(d.modified) {
		d.close()
		d.modified, d.racy = info.ModTime(), time.Since(info.ModTime()) < timePrecision
		if look, made, err = d.list(); err != nil {
			return present(err)
		}
	}
	for _, name := range look {
		now, err := d.stat(name)
		if err != nil {
			if present(err) != nil {
				return err
			}
			continue
		}
		before := d.files[name]
		same := before != nil && os.SameFile(before, now)
		if same && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime()) {
			continue
		}
		path := filepath.Join(d.path, name)
		if made = made || !same; !same && strings.HasSuffix(name, stateLog) {
			c.replaced = append(c.replaced, path)
		}
		switch segment := filepath.Ext(name) == ".dat"; {
		case segment && same && now.Size() > before.Size():
			c.grown[path] = growth{before.Size(), now.Size()}
			c.appended += now.Size() - before.Size()
		case segment && before != nil:
			c.rewritten = true
			fallthrough
		default:
			c.paths = append(c.paths, path)
		}
		c.synced = append(c.synced, func() { d.files[name] = now })
	}
	if made {
		c.paths = append(c.paths, d.path)
	}
	for _, sub := range d.folders {
		if err := sub.collect(c); err != nil {
			return err
		}
	}
	return nil
}

// stateLog ends the names of files that kfake appends to and at times replaces: those of groups and of producers.
const stateLog = ".log"

// list finds the files to look at once, those that grow, and the folders; made if there are new ones, or some are gone.
func (d *folder) list() (files []string, made bool, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, false, err
	}
	folders := map[string]*folder{}
	d.growing = nil
	newest, last := "", int64(-1) // kfake appends to the last segment
	for _, e := range entries {
		name := e.Name()
		info, err := os.Stat(filepath.Join(d.path, name)) // of what it links to
		switch ext := filepath.Ext(name); {
		case err == nil && info.IsDir():
			folders[name] = d.folders[name]
			if folders[name] == nil {
				folders[name], made = newFolder(filepath.Join(d.path, name)), true
			}
			continue
		case ext == stateLog:
			d.growing = append(d.growing, name)
		case ext == ".dat":
			if base, err := strconv.ParseInt(strings.TrimSuffix(name, ext), 10, 64); err == nil && base > last {
				newest, last = name, base
			}
		case ext != ".json": // nothing that must survive
			continue
		}
		files = append(files, name)
	}
	if newest != "" {
		d.growing = append(d.growing, newest)
	}
	known := len(d.files) + len(d.folders)
	maps.DeleteFunc(d.files, func(name string, _ fs.FileInfo) bool { return !slices.Contains(files, name) })
	maps.DeleteFunc(d.folders, func(name string, _ *folder) bool { return folders[name] == nil })
	made = made || len(d.files)+len(d.folders) < known // a power cut must not bring back what was deleted
	d.folders = folders
	return files, made, nil
}

// present is the error unless it is of a file that is missing, as those of deleted topics are.
func present(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
