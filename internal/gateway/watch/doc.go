// Package watch notices when files that a gateway was made of have changed.
//
// In: the paths of files and folders. Out: one signal some time after they have
// last changed, so that an editor's or a deployment's several writes are one
// change. Paths are polled: that also works on network file systems, with
// symbolic links that are swapped (Kubernetes), and for files that come and go.
//
// It must never miss a change that stays, and never signal when nothing differs.
package watch
