// Package day plays a whole day of honest traffic, more than 20,000 calls of
// customers, couriers, programs and visitors, through the gateway in front of the
// sample API, in process and with a clock of its own, with everything in enforce.
//
// Whatever the gateway refuses of it that the API alone does not is a false alarm:
// there may be none. Honest mistakes (a wrong password, a form sent twice) must be
// answered with the status with which the API answers them.
package day
