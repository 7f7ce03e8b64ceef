package state

import "sync"

// watch tells one watcher of changes from a goroutine of its own.
type watch struct {
	mu     sync.Mutex
	queue  []told
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once
	done   sync.WaitGroup
}

type told struct {
	key   string
	value []byte
}

func newWatch(f func(string, []byte)) *watch {
	w := &watch{wake: make(chan struct{}, 1), closed: make(chan struct{})}
	w.done.Go(func() { w.run(f) })
	return w
}

func (w *watch) add(key string, value []byte) {
	w.mu.Lock()
	w.queue = append(w.queue, told{key, value})
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watch) run(f func(string, []byte)) {
	for {
		select {
		case <-w.closed:
			return
		case <-w.wake:
		}
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, c := range queue {
			f(c.key, c.value)
		}
	}
}

// close ends the watch and waits for a call that is under way. It must not be
// called from within the watcher.
func (w *watch) close() {
	w.once.Do(func() { close(w.closed) })
	w.done.Wait()
}
