// Package deploy holds the files of the folder deploy against the types of those who read them: the
// API of Kubernetes and the loader of Compose. It is a module of its own, so that the product depends
// on neither.
package deploy
