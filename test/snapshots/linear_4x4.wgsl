alias Stored = vec4f;
alias Value = vec4f;
const WIDE: u32 = 4u;
fn load(s: Stored) -> Value {
return s;
}
fn store(v: Value) -> Stored {
return v;
}
fn total(v: Value) -> f32 {
return (v.x + v.y) + (v.z + v.w);
}
fn highest(v: Value) -> f32 {
return max(max(v.x, v.y), max(v.z, v.w));
}
fn element(v: Value, at: u32) -> f32 {
return v[at & 3u];
}
fn one_hot(first: u32, column: u32) -> Value {
return select(vec4f(), vec4f(1.0), first + vec4u(0u, 1u, 2u, 3u) == vec4u(column));
}
const PIECES: u32 = 1u;
fn piece(v: vec4f, part: u32) -> Stored {
return v;
}
const LANES: u32 = 1u;
fn lane_x(t: u32) -> u32 {
{
return ((t >> 1u) & (min(TX, 8u) - 1u)) | (((t >> 5u) & (max(TX / 8u, 1u) - 1u)) * 8u);
}
}
fn lane_y(t: u32) -> u32 {
{
let pair = min(2u * TX, 16u);
return ((t & 1u) | (((t / pair) & 1u) * 2u) | ((t / max(4u * TX, 2u * pair)) * 4u)) & (TY - 1u);
}
}
fn threefry_round(x: vec2u, r: u32) -> vec2u {
let sum = x.x + x.y;
return vec2u(sum, ((x.y << r) | (x.y >> (32u - r))) ^ sum);
}
fn threefry_rounds(x: vec2u, r: vec4u) -> vec2u {
return threefry_round(threefry_round(threefry_round(threefry_round(x, r.x), r.y), r.z), r.w);
}
fn threefry(key: vec2u, counter: vec2u) -> vec2u {
let third = key.x ^ key.y ^ 0x1bd11bdau;
let even = vec4u(13u, 15u, 26u, 6u);
let odd = vec4u(17u, 29u, 16u, 24u);
var x = threefry_rounds(counter + key, even) + vec2u(key.y, third + 1u);
x = threefry_rounds(x, odd) + vec2u(third, key.x + 2u);
x = threefry_rounds(x, even) + vec2u(key.x, key.y + 3u);
x = threefry_rounds(x, odd) + vec2u(key.y, third + 4u);
return threefry_rounds(x, even) + vec2u(third, key.x + 5u);
}
fn dropout_keeps2(seed: u32, site: u32, step: u32, index: u32, threshold: u32) -> vec2<bool> {
return (threefry(vec2u(seed, site), vec2u(index >> 1u, step)) >> vec2u(8u)) >= vec2u(threshold);
}
fn dropout_factor(seed: u32, site: u32, step: u32, index: u32, threshold: u32, keep: f32) -> f32 {
let pair = dropout_keeps2(seed, site, step, index & 0xfffffffeu, threshold);
return select(0.0, keep, select(pair.x, pair.y, (index & 1u) == 1u));
}
fn dropout_factor4(seed: u32, site: u32, step: u32, index: u32, threshold: u32, keep: f32) -> vec4f {
let low = dropout_keeps2(seed, site, step, index, threshold);
let high = dropout_keeps2(seed, site, step, index + 2u, threshold);
return select(vec4f(), vec4f(keep), vec4<bool>(low, high));
}
const LOG2E_HIGH: f32 = 1.44269502;
const LOG2E_LOW: f32 = 1.92596299e-8;
fn exp_precise(x: Value) -> Value {
let t = x * LOG2E_HIGH;
let rest = fma(x, Value(LOG2E_LOW), fma(x, Value(LOG2E_HIGH), -t));
return exp2(t) * fma(rest, Value(0.69314718), Value(1.0));
}
fn sigmoid(z: Value) -> Value {
return 1.0 / (1.0 + exp_precise(min(-1.702 * z, Value(80.0))));
}
fn gelu(z: Value) -> Value {
return z * sigmoid(z);
}
fn gelu_gradient(z: Value) -> Value {
let s = sigmoid(z);
return fma(1.702 * z * s, 1.0 - s, s);
}
struct Params {
rows: u32,
inner4: u32,
out4: u32,
site: u32,
micro: u32,
threshold: u32,
keep: f32,
first: u32,
whole: u32,
}
@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> residual: array<Stored>;
@group(0) @binding(4) var<storage, read> seeds: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<Stored>;
@group(0) @binding(6) var<storage, read_write> pre: array<Stored>;
@group(0) @binding(7) var<uniform> params: Params;
const BIAS: bool = true;
const PRE: bool = false;
const GELU: bool = false;
const DROPOUT: bool = false;
const RESIDUAL: bool = false;
const TX: u32 = 1u;
const TY: u32 = 1u;
const TM: u32 = 4u;
const TN: u32 = 4u;
const BK4: u32 = 1u;
const BM: u32 = 4u;
const BN: u32 = 4u;
const THREADS: u32 = 1u;
const XLOADS: u32 = 4u;
const WLOADS: u32 = 4u;
var<workgroup> xs: array<array<vec4f, 5u>, 1u>;
var<workgroup> ws: array<array<vec4f, 5u>, 1u>;
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
let tx = lane_x(t);
let ty = lane_y(t);
let m0 = group.y * BM;
let n0 = group.x * BN;
let k4 = t & (BK4 - 1u);
let line = t / BK4;
var acc_0_0 = f32(); var acc_0_1 = f32(); var acc_0_2 = f32(); var acc_0_3 = f32(); var acc_1_0 = f32(); var acc_1_1 = f32(); var acc_1_2 = f32(); var acc_1_3 = f32(); var acc_2_0 = f32(); var acc_2_1 = f32(); var acc_2_2 = f32(); var acc_2_3 = f32(); var acc_3_0 = f32(); var acc_3_1 = f32(); var acc_3_2 = f32(); var acc_3_3 = f32();
var px_0 = vec4f(); var px_1 = vec4f(); var px_2 = vec4f(); var px_3 = vec4f();
var pw_0 = vec4f(); var pw_1 = vec4f(); var pw_2 = vec4f(); var pw_3 = vec4f();
let steps = (params.inner4 + BK4 - 1u) / BK4;
for (var step = 0u; step <= steps; step++) {
if (step > 0u) {
{
let r = line + 0u * (THREADS / BK4);
xs[(r / TM) & (TY - 1u)][(r & (TM - 1u)) * BK4 + k4] = px_0;
}
{
let r = line + 1u * (THREADS / BK4);
xs[(r / TM) & (TY - 1u)][(r & (TM - 1u)) * BK4 + k4] = px_1;
}
{
let r = line + 2u * (THREADS / BK4);
xs[(r / TM) & (TY - 1u)][(r & (TM - 1u)) * BK4 + k4] = px_2;
}
{
let r = line + 3u * (THREADS / BK4);
xs[(r / TM) & (TY - 1u)][(r & (TM - 1u)) * BK4 + k4] = px_3;
}
{
let c = line + 0u * (THREADS / BK4);
ws[(c / 4u) & (TX - 1u)][(c / (4u * TX) * 4u + (c & 3u)) * BK4 + k4] = pw_0;
}
{
let c = line + 1u * (THREADS / BK4);
ws[(c / 4u) & (TX - 1u)][(c / (4u * TX) * 4u + (c & 3u)) * BK4 + k4] = pw_1;
}
{
let c = line + 2u * (THREADS / BK4);
ws[(c / 4u) & (TX - 1u)][(c / (4u * TX) * 4u + (c & 3u)) * BK4 + k4] = pw_2;
}
{
let c = line + 3u * (THREADS / BK4);
ws[(c / 4u) & (TX - 1u)][(c / (4u * TX) * 4u + (c & 3u)) * BK4 + k4] = pw_3;
}
}
workgroupBarrier();
let depth = step * BK4 + k4;
if (step < steps) {
{
let r = min(m0 + line + 0u * (THREADS / BK4), params.rows - 1u);
px_0 = select(vec4f(), load(x[r * params.inner4 + depth]), depth < params.inner4);
}
{
let r = min(m0 + line + 1u * (THREADS / BK4), params.rows - 1u);
px_1 = select(vec4f(), load(x[r * params.inner4 + depth]), depth < params.inner4);
}
{
let r = min(m0 + line + 2u * (THREADS / BK4), params.rows - 1u);
px_2 = select(vec4f(), load(x[r * params.inner4 + depth]), depth < params.inner4);
}
{
let r = min(m0 + line + 3u * (THREADS / BK4), params.rows - 1u);
px_3 = select(vec4f(), load(x[r * params.inner4 + depth]), depth < params.inner4);
}
{
let c = min(n0 + line + 0u * (THREADS / BK4), params.out4 * 4u - 1u);
pw_0 = select(vec4f(), w[c * params.inner4 + depth], depth < params.inner4);
}
{
let c = min(n0 + line + 1u * (THREADS / BK4), params.out4 * 4u - 1u);
pw_1 = select(vec4f(), w[c * params.inner4 + depth], depth < params.inner4);
}
{
let c = min(n0 + line + 2u * (THREADS / BK4), params.out4 * 4u - 1u);
pw_2 = select(vec4f(), w[c * params.inner4 + depth], depth < params.inner4);
}
{
let c = min(n0 + line + 3u * (THREADS / BK4), params.out4 * 4u - 1u);
pw_3 = select(vec4f(), w[c * params.inner4 + depth], depth < params.inner4);
}
}
if (step > 0u) {
{
var a_0 = vec4f(); var a_1 = vec4f(); var a_2 = vec4f(); var a_3 = vec4f();
{
a_0 = xs[ty][0u];
}
{
a_1 = xs[ty][1u];
}
{
a_2 = xs[ty][2u];
}
{
a_3 = xs[ty][3u];
}
{
let c = ws[tx][0u];
{
acc_0_0 = fma(a_0.w, c.w, fma(a_0.z, c.z, fma(a_0.y, c.y, fma(a_0.x, c.x, acc_0_0))));
}
{
acc_1_0 = fma(a_1.w, c.w, fma(a_1.z, c.z, fma(a_1.y, c.y, fma(a_1.x, c.x, acc_1_0))));
}
{
acc_2_0 = fma(a_2.w, c.w, fma(a_2.z, c.z, fma(a_2.y, c.y, fma(a_2.x, c.x, acc_2_0))));
}
{
acc_3_0 = fma(a_3.w, c.w, fma(a_3.z, c.z, fma(a_3.y, c.y, fma(a_3.x, c.x, acc_3_0))));
}
}
{
let c = ws[tx][1u];
{
acc_0_1 = fma(a_0.w, c.w, fma(a_0.z, c.z, fma(a_0.y, c.y, fma(a_0.x, c.x, acc_0_1))));
}
{
acc_1_1 = fma(a_1.w, c.w, fma(a_1.z, c.z, fma(a_1.y, c.y, fma(a_1.x, c.x, acc_1_1))));
}
{
acc_2_1 = fma(a_2.w, c.w, fma(a_2.z, c.z, fma(a_2.y, c.y, fma(a_2.x, c.x, acc_2_1))));
}
{
acc_3_1 = fma(a_3.w, c.w, fma(a_3.z, c.z, fma(a_3.y, c.y, fma(a_3.x, c.x, acc_3_1))));
}
}
{
let c = ws[tx][2u];
{
acc_0_2 = fma(a_0.w, c.w, fma(a_0.z, c.z, fma(a_0.y, c.y, fma(a_0.x, c.x, acc_0_2))));
}
{
acc_1_2 = fma(a_1.w, c.w, fma(a_1.z, c.z, fma(a_1.y, c.y, fma(a_1.x, c.x, acc_1_2))));
}
{
acc_2_2 = fma(a_2.w, c.w, fma(a_2.z, c.z, fma(a_2.y, c.y, fma(a_2.x, c.x, acc_2_2))));
}
{
acc_3_2 = fma(a_3.w, c.w, fma(a_3.z, c.z, fma(a_3.y, c.y, fma(a_3.x, c.x, acc_3_2))));
}
}
{
let c = ws[tx][3u];
{
acc_0_3 = fma(a_0.w, c.w, fma(a_0.z, c.z, fma(a_0.y, c.y, fma(a_0.x, c.x, acc_0_3))));
}
{
acc_1_3 = fma(a_1.w, c.w, fma(a_1.z, c.z, fma(a_1.y, c.y, fma(a_1.x, c.x, acc_1_3))));
}
{
acc_2_3 = fma(a_2.w, c.w, fma(a_2.z, c.z, fma(a_2.y, c.y, fma(a_2.x, c.x, acc_2_3))));
}
{
acc_3_3 = fma(a_3.w, c.w, fma(a_3.z, c.z, fma(a_3.y, c.y, fma(a_3.x, c.x, acc_3_3))));
}
}
}
}
workgroupBarrier();
}
{
let row = m0 + ty * TM + 0u;
{
let column = n0 / 4u + 0u * TX + tx;
if (row < params.rows && column < params.out4) {
finish(row, column, vec4f(acc_0_0, acc_0_1, acc_0_2, acc_0_3));
}
}
}
{
let row = m0 + ty * TM + 1u;
{
let column = n0 / 4u + 0u * TX + tx;
if (row < params.rows && column < params.out4) {
finish(row, column, vec4f(acc_1_0, acc_1_1, acc_1_2, acc_1_3));
}
}
}
{
let row = m0 + ty * TM + 2u;
{
let column = n0 / 4u + 0u * TX + tx;
if (row < params.rows && column < params.out4) {
finish(row, column, vec4f(acc_2_0, acc_2_1, acc_2_2, acc_2_3));
}
}
}
{
let row = m0 + ty * TM + 3u;
{
let column = n0 / 4u + 0u * TX + tx;
if (row < params.rows && column < params.out4) {
finish(row, column, vec4f(acc_3_0, acc_3_1, acc_3_2, acc_3_3));
}
}
}
}
fn finish(row: u32, column: u32, product: vec4f) {
let at = row * params.out4 + column;
var z = product;
if (BIAS) {
z += b[column];
}
if (PRE) {
pre[at] = store(z);
}
if (GELU) {
z = gelu(z);
}
if (DROPOUT) {
z *= dropout_factor4(seeds[0u], params.site, seeds[1u] + params.micro, params.first + row * params.whole + column * 4u, params.threshold, params.keep);
}
if (RESIDUAL) {
z += load(residual[at]);
}
y[at] = store(z);
}
