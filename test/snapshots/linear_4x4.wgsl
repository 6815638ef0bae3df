alias Value=vec4f;
const WIDE:u32=4u;
fn total(v:Value)->f32{
return(v.x+v.y)+(v.z+v.w);
}
fn highest(v:Value)->f32{
return max(max(v.x,v.y),max(v.z,v.w));
}
fn element(v:Value,at:u32)->f32{
return v[at&3u];
}
fn one_hot(first:u32,column:u32)->Value{
return select(vec4f(),vec4f(1.0),first+vec4u(0u,1u,2u,3u)==vec4u(column));
}
alias Stored=vec4f;
fn load(s:Stored)->Value{
return s;
}
fn store(v:Value)->Stored{
return v;
}
const PIECES:u32=1u;
fn piece(v:vec4f,part:u32)->Stored{
return v;
}
alias Weight=vec4f;
const INT8:u32=0u;
fn threefry_round(x:vec2u,r:u32)->vec2u{
let sum=x.x+x.y;
return vec2u(sum,((x.y<<r)|(x.y>>(32u-r)))^sum);
}
fn threefry_rounds(x:vec2u,r:vec4u)->vec2u{
return threefry_round(threefry_round(threefry_round(threefry_round(x,r.x),r.y),r.z),r.w);
}
fn threefry(key:vec2u,counter:vec2u)->vec2u{
let third=key.x^key.y^0x1bd11bdau;
let even=vec4u(13u,15u,26u,6u);
let odd=vec4u(17u,29u,16u,24u);
var x=threefry_rounds(counter+key,even)+vec2u(key.y,third+1u);
x=threefry_rounds(x,odd)+vec2u(third,key.x+2u);
x=threefry_rounds(x,even)+vec2u(key.x,key.y+3u);
x=threefry_rounds(x,odd)+vec2u(key.y,third+4u);
return threefry_rounds(x,even)+vec2u(third,key.x+5u);
}
fn dropout_keeps2(seed:u32,site:u32,step:u32,index:u32,threshold:u32)->vec2<bool>{
return(threefry(vec2u(seed,site),vec2u(index>>1u,step))>>vec2u(8u))>=vec2u(threshold);
}
fn dropout_factor(seed:u32,site:u32,step:u32,index:u32,threshold:u32,keep:f32)->f32{
let pair=dropout_keeps2(seed,site,step,index&0xfffffffeu,threshold);
return select(0.0,keep,select(pair.x,pair.y,(index&1u)==1u));
}
fn dropout_factor4(seed:u32,site:u32,step:u32,index:u32,threshold:u32,keep:f32)->vec4f{
let low=dropout_keeps2(seed,site,step,index,threshold);
let high=dropout_keeps2(seed,site,step,index+2u,threshold);
return select(vec4f(),vec4f(keep),vec4<bool>(low,high));
}
const LOG2E_HIGH:f32=1.44269502;
const LOG2E_LOW:f32=1.92596299e-8;
fn exp_precise(x:Value)->Value{
let t=x*LOG2E_HIGH;
let rest=fma(x,Value(LOG2E_LOW),fma(x,Value(LOG2E_HIGH),-t));
return exp2(t)*fma(rest,Value(0.69314718),Value(1.0));
}
fn sigmoid(z:Value)->Value{
return 1.0/(1.0+exp_precise(min(-1.702*z,Value(80.0))));
}
fn gelu(z:Value)->Value{
return z*sigmoid(z);
}
fn gelu_gradient(z:Value)->Value{
let s=sigmoid(z);
return fma(1.702*z*s,1.0-s,s);
}
struct Params{
rows:u32,inner4:u32,out4:u32,site:u32,micro:u32,threshold:u32,keep:f32,first:u32,whole:u32,}
@group(0) @binding(0) var<storage,read>x:array<Stored>;
@group(0) @binding(1) var<storage,read>w:array<Weight>;
@group(0) @binding(2) var<storage,read>b:array<vec4f>;
@group(0) @binding(3) var<storage,read>residual:array<Stored>;
@group(0) @binding(4) var<storage,read>seeds:array<u32>;
@group(0) @binding(5) var<storage,read_write>y:array<Stored>;
@group(0) @binding(6) var<storage,read_write>pre:array<Stored>;
@group(0) @binding(7) var<uniform>params:Params;
const BIAS:bool=true;
const PRE:bool=false;
const GELU:bool=false;
const DROPOUT:bool=false;
const RESIDUAL:bool=false;
const LEFT_ALONG:u32=1u;
const RIGHT_ALONG:u32=1u;
const RIGHT_STORED:u32=0u;
const HALF:u32=0u;
alias Left=Stored;
alias Right=Weight;
struct Extent{
rows:u32,columns4:u32,first:u32,end:u32,}
const MATRIX:u32=0u;
const AHEAD:u32=1u;
const LANES:u32=1u;
fn lane_x(t:u32)->u32{

{
return((t>>1u)&(min(TX,8u)-1u))|(((t>>5u)&(max(TX/8u,1u)-1u))*8u);
}
}
fn lane_y(t:u32)->u32{

{
let pair=min(2u*TX,16u);
return((t&1u)|(((t/pair)&1u)*2u)|((t/max(4u*TX,2u*pair))*4u))&(TY-1u);
}
}
const TX:u32=1u;
const TY:u32=1u;
const TM:u32=4u;
const TN:u32=4u;
const BK4:u32=1u;
const BK:u32=4u;
const G:u32=1u;
const H:u32=1u;
const BM4:u32=1u;
const BN4:u32=1u;
const THREADS:u32=1u;
const LEFTS:u32=1u;
const RIGHTS:u32=1u;
const LLOADS:u32=4u;
const RLOADS:u32=4u;
const LSWAP:u32=2u;
const RSWAP:u32=2u;
var<workgroup>ls:array<array<array<vec4f,TY>,G>,BK>;
var<workgroup>rs:array<array<array<vec4f,TX>,H>,BK>;
const MASKED:u32=1u;
const PLAIN:u32=0u;
@compute@workgroup_size(THREADS)fn main(@builtin(workgroup_id)group:vec3u,@builtin(local_invocation_index)t:u32){
let tx=lane_x(t);
let ty=lane_y(t);
let whole=extent(group.z);
let m0=group.y*BM4;
let n0=group.x*BN4;

let columns=whole.columns4*4u;
var acc_0_0=vec4f();var acc_1_0=vec4f();var acc_2_0=vec4f();var acc_3_0=vec4f(); var l_0=Left();var l_1=Left();var l_2=Left();var l_3=Left(); var r_0=Right();var r_1=Right();var r_2=Right();var r_3=Right(); let steps=(whole.end-whole.first+BK-1u)/BK;
for(var step=0u;step<=steps;step++){
let next=whole.first+step*BK;
if(step>0u){
let front=next-BK;
{
{
{
let e=(t+0u*THREADS)&(LEFTS-1u);
let g=e/BK4;
let k4=e&(BK4-1u);
var turned_0=vec4f();var turned_1=vec4f();var turned_2=vec4f();var turned_3=vec4f();{
{
turned_0=select(vec4f(),left_value(l_0),front+k4*4u<whole.end);
}
}{
{
turned_1=select(vec4f(),left_value(l_1),front+k4*4u<whole.end);
}
}{
{
turned_2=select(vec4f(),left_value(l_2),front+k4*4u<whole.end);
}
}{
{
turned_3=select(vec4f(),left_value(l_3),front+k4*4u<whole.end);
}
}
{
ls[k4*4u+0u][g/TY][(g^(k4*LSWAP))&(TY-1u)]=vec4f(turned_0[0u],turned_1[0u],turned_2[0u],turned_3[0u]);
}
{
ls[k4*4u+1u][g/TY][(g^(k4*LSWAP))&(TY-1u)]=vec4f(turned_0[1u],turned_1[1u],turned_2[1u],turned_3[1u]);
}
{
ls[k4*4u+2u][g/TY][(g^(k4*LSWAP))&(TY-1u)]=vec4f(turned_0[2u],turned_1[2u],turned_2[2u],turned_3[2u]);
}
{
ls[k4*4u+3u][g/TY][(g^(k4*LSWAP))&(TY-1u)]=vec4f(turned_0[3u],turned_1[3u],turned_2[3u],turned_3[3u]);
}
}
}
}
{
{
{
let e=(t+0u*THREADS)&(RIGHTS-1u);
let g=e/BK4;
let k4=e&(BK4-1u);
var turned_0=vec4f();var turned_1=vec4f();var turned_2=vec4f();var turned_3=vec4f();{

{
turned_0=right_value(r_0);
}
}{

{
turned_1=right_value(r_1);
}
}{

{
turned_2=right_value(r_2);
}
}{

{
turned_3=right_value(r_3);
}
}
{
rs[k4*4u+0u][g/TX][(g^(k4*RSWAP))&(TX-1u)]=vec4f(turned_0[0u],turned_1[0u],turned_2[0u],turned_3[0u]);
}
{
rs[k4*4u+1u][g/TX][(g^(k4*RSWAP))&(TX-1u)]=vec4f(turned_0[1u],turned_1[1u],turned_2[1u],turned_3[1u]);
}
{
rs[k4*4u+2u][g/TX][(g^(k4*RSWAP))&(TX-1u)]=vec4f(turned_0[2u],turned_1[2u],turned_2[2u],turned_3[2u]);
}
{
rs[k4*4u+3u][g/TX][(g^(k4*RSWAP))&(TX-1u)]=vec4f(turned_0[3u],turned_1[3u],turned_2[3u],turned_3[3u]);
}
}
}
}
}
workgroupBarrier();
{
{
{
let e=(t+0u/4u*THREADS)&(LEFTS-1u);
l_0=left(min((m0+e/BK4)*4u+0u%4u,whole.rows-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
{
let e=(t+1u/4u*THREADS)&(LEFTS-1u);
l_1=left(min((m0+e/BK4)*4u+1u%4u,whole.rows-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
{
let e=(t+2u/4u*THREADS)&(LEFTS-1u);
l_2=left(min((m0+e/BK4)*4u+2u%4u,whole.rows-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
{
let e=(t+3u/4u*THREADS)&(LEFTS-1u);
l_3=left(min((m0+e/BK4)*4u+3u%4u,whole.rows-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
}
}
{
{
{
let e=(t+0u/4u*THREADS)&(RIGHTS-1u);
r_0=right(min((n0+e/BK4)*4u+0u%4u,columns-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
{
let e=(t+1u/4u*THREADS)&(RIGHTS-1u);
r_1=right(min((n0+e/BK4)*4u+1u%4u,columns-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
{
let e=(t+2u/4u*THREADS)&(RIGHTS-1u);
r_2=right(min((n0+e/BK4)*4u+2u%4u,columns-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
{
let e=(t+3u/4u*THREADS)&(RIGHTS-1u);
r_3=right(min((n0+e/BK4)*4u+3u%4u,columns-1u),min(next/4u+(e&(BK4-1u)),whole.end/4u-1u));
}
}
}
if(step>0u){
{
var a_0=vec4f();{
a_0=ls[0u][0u][(ty^(0u/4u*LSWAP))&(TY-1u)];
}
{
let b=rs[0u][0u][(tx^(0u/4u*RSWAP))&(TX-1u)];
{
acc_0_0=fma(vec4f(a_0[0u]),b,acc_0_0);
}
{
acc_1_0=fma(vec4f(a_0[1u]),b,acc_1_0);
}
{
acc_2_0=fma(vec4f(a_0[2u]),b,acc_2_0);
}
{
acc_3_0=fma(vec4f(a_0[3u]),b,acc_3_0);
}
}
}
{
var a_0=vec4f();{
a_0=ls[1u][0u][(ty^(1u/4u*LSWAP))&(TY-1u)];
}
{
let b=rs[1u][0u][(tx^(1u/4u*RSWAP))&(TX-1u)];
{
acc_0_0=fma(vec4f(a_0[0u]),b,acc_0_0);
}
{
acc_1_0=fma(vec4f(a_0[1u]),b,acc_1_0);
}
{
acc_2_0=fma(vec4f(a_0[2u]),b,acc_2_0);
}
{
acc_3_0=fma(vec4f(a_0[3u]),b,acc_3_0);
}
}
}
{
var a_0=vec4f();{
a_0=ls[2u][0u][(ty^(2u/4u*LSWAP))&(TY-1u)];
}
{
let b=rs[2u][0u][(tx^(2u/4u*RSWAP))&(TX-1u)];
{
acc_0_0=fma(vec4f(a_0[0u]),b,acc_0_0);
}
{
acc_1_0=fma(vec4f(a_0[1u]),b,acc_1_0);
}
{
acc_2_0=fma(vec4f(a_0[2u]),b,acc_2_0);
}
{
acc_3_0=fma(vec4f(a_0[3u]),b,acc_3_0);
}
}
}
{
var a_0=vec4f();{
a_0=ls[3u][0u][(ty^(3u/4u*LSWAP))&(TY-1u)];
}
{
let b=rs[3u][0u][(tx^(3u/4u*RSWAP))&(TX-1u)];
{
acc_0_0=fma(vec4f(a_0[0u]),b,acc_0_0);
}
{
acc_1_0=fma(vec4f(a_0[1u]),b,acc_1_0);
}
{
acc_2_0=fma(vec4f(a_0[2u]),b,acc_2_0);
}
{
acc_3_0=fma(vec4f(a_0[3u]),b,acc_3_0);
}
}
}
}
workgroupBarrier();
}
{
let row=(m0+0u/4u*TY+ty)*4u+0u%4u;
{
let column=n0+0u*TX+tx;
if(row<whole.rows&&column<whole.columns4){
finish(group.z,row,column,acc_0_0);
}
}
}
{
let row=(m0+1u/4u*TY+ty)*4u+1u%4u;
{
let column=n0+0u*TX+tx;
if(row<whole.rows&&column<whole.columns4){
finish(group.z,row,column,acc_1_0);
}
}
}
{
let row=(m0+2u/4u*TY+ty)*4u+2u%4u;
{
let column=n0+0u*TX+tx;
if(row<whole.rows&&column<whole.columns4){
finish(group.z,row,column,acc_2_0);
}
}
}
{
let row=(m0+3u/4u*TY+ty)*4u+3u%4u;
{
let column=n0+0u*TX+tx;
if(row<whole.rows&&column<whole.columns4){
finish(group.z,row,column,acc_3_0);
}
}
}
}
fn extent(part:u32)->Extent{
return Extent(params.rows,params.out4,0u,params.inner4*4u);
}
fn left(row:u32,k4:u32)->Left{
return x[row*params.inner4+k4];
}
fn left_value(a:Left)->vec4f{
return load(a);
}
fn right(column:u32,k4:u32)->Right{
return w[column*params.inner4+k4];
}
fn right_value(b:Right)->vec4f{

{
return b;
}
}
fn finish(part:u32,row:u32,column:u32,product:vec4f){
let at=row*params.out4+column;
var z=product;

if(BIAS){
z+=b[column];
}
if(PRE){
pre[at]=store(z);
}
if(GELU){
z=gelu(z);
}
if(DROPOUT){
z*=dropout_factor4(seeds[0u],params.site,seeds[1u]+params.micro,params.first+row*params.whole+column*4u,params.threshold,params.keep);
}
if(RESIDUAL){
z+=load(residual[at]);
}
y[at]=store(z);
}
