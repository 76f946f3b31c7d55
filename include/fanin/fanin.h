/* fanin.h - everything: initial weights of deep networks, written, explained, predicted, measured.
 * libfanin answers base, random, compat, activation, init and theory; libfanin-net the rest. */
#ifndef FANIN_FANIN_H
#define FANIN_FANIN_H

#include <fanin/activation.h>
#include <fanin/base.h>
#include <fanin/compat.h>
#include <fanin/compute.h>
#include <fanin/data.h>
#include <fanin/engine.h>
#include <fanin/format.h>
#include <fanin/graph.h>
#include <fanin/init.h>
#include <fanin/probe.h>
#include <fanin/random.h>
#include <fanin/report.h>
#include <fanin/reproduce.h>
#include <fanin/scheme.h>
#include <fanin/theory.h>
#include <fanin/train.h>

#endif
